#include "common/config_environment.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace common {
namespace {

using absl::StatusCode;

ConfigEnvironment FakeEnvironment() {
  ConfigEnvironment environment;
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name == "REGION") return "eu";
    if (name == "PORT_2") return "8080";
    if (name == "EMPTY") return "";
    if (name == "TRICKY") return "${REGION}$$";
    return std::nullopt;
  };
  return environment;
}

TEST(ConfigEnvironmentTest, VariablesAndDollarsAreReplacedOnce) {
  struct Case {
    std::string_view text;
    StatusCode want_code;
    std::string_view want;
    bool want_variable = false;
  };
  const Case cases[] = {
      {"", StatusCode::kOk, ""},
      {"plain", StatusCode::kOk, "plain"},
      {"${REGION}", StatusCode::kOk, "eu", true},
      {"x-${REGION}-${PORT_2}-y", StatusCode::kOk, "x-eu-8080-y", true},
      {"${EMPTY}", StatusCode::kOk, "", true},
      {"${TRICKY}", StatusCode::kOk, "${REGION}$$", true},
      {"${REGION:-us}", StatusCode::kOk, "eu", true},
      {"${EMPTY:-us}", StatusCode::kOk, "", true},
      {"127.0.0.1:${NONE:-80}", StatusCode::kOk, "127.0.0.1:80", true},
      {"${NONE:-}", StatusCode::kOk, "", true},
      {"${NONE:-a:-b}", StatusCode::kOk, "a:-b", true},
      {"$$", StatusCode::kOk, "$"},
      {"$${REGION}", StatusCode::kOk, "${REGION}"},
      {"$$${REGION}", StatusCode::kOk, "$eu", true},
      {"a$b$", StatusCode::kOk, "a$b$"},
      {"${NONE}", StatusCode::kNotFound, "environment variable NONE is not set"},
      {"${REGION", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
      {"${", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
      {"${}", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
      {"${:-x}", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
      {"${2A}", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
      {"${A B}", StatusCode::kInvalidArgument, "must be followed by a variable's name"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const absl::StatusOr<ExpandedText> expanded = ExpandVariables(c.text, FakeEnvironment());
    ASSERT_EQ(expanded.status().code(), c.want_code);
    if (expanded.ok()) {
      EXPECT_EQ(expanded->text, c.want);
      EXPECT_EQ(expanded->has_variable, c.want_variable);
    } else {
      const std::string message(expanded.status().message());
      EXPECT_NE(message.find(c.want), std::string::npos) << message;
    }
  }
}

TEST(ConfigEnvironmentTest, TheSystemsOwnVariablesAndFilesAreRead) {
  const ConfigEnvironment environment = SystemConfigEnvironment();
  setenv("CANDOR_TEST_VARIABLE", "here", 1);
  EXPECT_EQ(environment.variable("CANDOR_TEST_VARIABLE"), "here");
  unsetenv("CANDOR_TEST_VARIABLE");
  EXPECT_EQ(environment.variable("CANDOR_TEST_VARIABLE"), std::nullopt);
  EXPECT_EQ(environment.file("/nowhere/secret").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(environment.file("/dev/zero").status().code(), StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace common
