#include "common/config_reader.h"

#include <gtest/gtest.h>

#include <map>

#include "common/concat.h"

namespace common {
namespace {

constexpr std::string_view kSecretValue = "sk-do-not-print";

ConfigEnvironment FakeEnvironment() {
  return {.variable = [](const std::string& name) -> std::optional<std::string> {
            const std::map<std::string, std::string> variables = {
                {"PORT", "8080"},
                {"REGION", "eu"},
                {"KEY", std::string(kSecretValue)},
                {"TWO_LINES", "a\nb"},
                {"EMPTY", ""}};
            const auto found = variables.find(name);
            if (found == variables.end()) return std::nullopt;
            return found->second;
          },
          .file = [](const std::string& path) -> absl::StatusOr<std::string> {
            if (path == "/secrets/unix") return Concat(kSecretValue, "\n");
            if (path == "/secrets/dos") return Concat(kSecretValue, "\r\n");
            if (path == "/secrets/empty") return std::string("\n");
            if (path == "/secrets/two") return std::string("a\nb\n");
            return absl::NotFoundError(Concat(path, ": no such file"));
          }};
}

// What a program would read, with its defaults.
struct Settings {
  std::string text = "default";
  bool flag = false;
  int64_t number = 1;
  double ratio = 0.5;
  std::chrono::milliseconds wait{10};
  int64_t size = 100;
  std::vector<std::string> names = {"default"};
  size_t choice = 0;
  Secret api_key;
};

// Reads every kind of value and returns the complaints, one a line.
std::string ReadSettings(std::string_view text, Settings& settings) {
  const absl::StatusOr<ConfigNode> root = ParseConfig(text, "f");
  if (!root.ok()) return std::string(root.status().message());
  const ConfigEnvironment environment = FakeEnvironment();
  ConfigErrors errors;
  {
    ConfigObject object(*root, "demo", environment, errors);
    object.ReadString("text", settings.text);
    object.ReadBool("flag", settings.flag);
    object.ReadInt("number", settings.number, {1, 65'535});
    object.ReadDouble("ratio", settings.ratio, {0, 1});
    object.ReadDuration("wait", settings.wait,
                        {std::chrono::milliseconds(1), std::chrono::minutes(1)});
    object.ReadByteSize("size", settings.size, {1, 1 << 20});
    object.ReadStrings("names", settings.names);
    object.ReadChoice("choice", {"memory", "sqlite"}, settings.choice);
    object.ReadSecret("api_key", settings.api_key);
  }
  return std::string(errors.Status().message());
}

TEST(ConfigReaderTest, AbsentKeysKeepTheirDefaults) {
  Settings settings;
  EXPECT_EQ(ReadSettings("{}", settings), "");
  EXPECT_EQ(settings.text, "default");
  EXPECT_EQ(settings.number, 1);
  EXPECT_EQ(settings.names, std::vector<std::string>{"default"});
  EXPECT_TRUE(settings.api_key.IsEmpty());
}

TEST(ConfigReaderTest, EveryKindOfValueIsRead) {
  Settings settings;
  EXPECT_EQ(ReadSettings("text: hello\n"
                         "flag: true\n"
                         "number: 42\n"
                         "ratio: 0.25\n"
                         "wait: 1.5s\n"
                         "size: 16KiB\n"
                         "names: [a, \"b ${REGION}\"]\n"
                         "choice: sqlite\n"
                         "api_key: ${KEY}\n",
                         settings),
            "");
  EXPECT_EQ(settings.text, "hello");
  EXPECT_TRUE(settings.flag);
  EXPECT_EQ(settings.number, 42);
  EXPECT_EQ(settings.ratio, 0.25);
  EXPECT_EQ(settings.wait.count(), 1'500);
  EXPECT_EQ(settings.size, 16'384);
  EXPECT_EQ(settings.names, (std::vector<std::string>{"a", "b eu"}));
  EXPECT_EQ(settings.choice, 1u);
  EXPECT_EQ(settings.api_key.Reveal(), kSecretValue);
}

TEST(ConfigReaderTest, VariablesAndDollarsAreReplaced) {
  struct Case {
    std::string_view yaml;
    std::string_view want;
  };
  const Case cases[] = {{"text: ${REGION}", "eu"},
                        {"text: \"x-${REGION}-${PORT}\"", "x-eu-8080"},
                        {"text: '$$'", "$"},
                        {"text: '$${REGION}'", "${REGION}"},
                        {"text: '$$${REGION}'", "$eu"},
                        {"text: 'a$b'", "a$b"},
                        {"text: 'a$'", "a$"},
                        {"text: \"${EMPTY}\"", ""},
                        {"text: '${REGION:-us}'", "eu"},
                        {"text: '${EMPTY:-us}'", ""},
                        {"text: '127.0.0.1:${NOT_THERE:-80}'", "127.0.0.1:80"},
                        {"text: '${NOT_THERE:-}'", ""},
                        {"text: '${NOT_THERE:-a:-b}'", "a:-b"},
                        {"text: 007", "007"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.yaml);
    Settings settings;
    EXPECT_EQ(ReadSettings(c.yaml, settings), "");
    EXPECT_EQ(settings.text, c.want);
  }
}

TEST(ConfigReaderTest, ANumberMayComeFromAVariable) {
  for (const std::string_view yaml : {"number: ${PORT}", "number: \"${PORT}\""}) {
    Settings settings;
    EXPECT_EQ(ReadSettings(yaml, settings), "");
    EXPECT_EQ(settings.number, 8'080);
  }
}

TEST(ConfigReaderTest, ASecretFileLosesItsLastNewline) {
  for (const std::string_view path : {"/secrets/unix", "/secrets/dos"}) {
    SCOPED_TRACE(path);
    Settings settings;
    EXPECT_EQ(ReadSettings(Concat("api_key_file: ", path), settings), "");
    EXPECT_EQ(settings.api_key.Reveal(), kSecretValue);
  }
}

TEST(ConfigReaderTest, EveryComplaintNamesThePlaceAndTheRemedy) {
  struct Case {
    std::string_view yaml;
    std::string_view want;
  };
  const Case cases[] = {
      {"txet: a", "f:1:1: demo: unknown key \"txet\"; did you mean \"text\"?"},
      {"flag: true\nnumbers: 1", "f:2:1: demo: unknown key \"numbers\"; did you mean \"number\"?"},
      {"api_keyfile: x", "unknown key \"api_keyfile\"; did you mean \"api_key_file\"?"},
      {"api_key:abcdefghijklmnopqrstuvwxyz: 1", "unknown key a text of 34 bytes; known are text"},
      {"zzzzzzzz: 1", "unknown key \"zzzzzzzz\"; known are text, flag, number"},
      {"- a", "f:1:1: demo: needs a mapping of keys to values"},
      {"", "f:1:1: demo: needs a mapping of keys to values"},
      {"text: [a]", "f:1:7: demo.text: needs a single value, not a mapping, a list or nothing"},
      {"text:", "f:1:1: demo.text: has no value; remove the key or give it one"},
      {"text: ${NOT_THERE}", "f:1:7: demo.text: environment variable NOT_THERE is not set"},
      {"text: '${PORT'", "f:1:7: demo.text: \"${\" must be followed by a variable's name"},
      {"text: '${:-x}'", "must be followed by a variable's name"},
      {"text: '${NOT_THERE:-x'", "must be followed by a variable's name"},
      {"text: '${}'", "must be followed by a variable's name"},
      {"text: '${1A}'", "must be followed by a variable's name"},
      {"flag: yes", "f:1:7: demo.flag: \"yes\" is neither true nor false"},
      {"flag: 'true'", "is neither true nor false"},
      {"number: 1.5", "f:1:9: demo.number: \"1.5\" is not a whole number"},
      {"number: '5'", "is not a whole number"},
      {"number: 99999999999999999999", "is not a whole number"},
      {"number: 0", "demo.number: \"0\" is out of range; 1 to 65535 is allowed"},
      {"number: {a: 1}", "needs a single value"},
      {"ratio: half", "f:1:8: demo.ratio: \"half\" is not a number"},
      {"ratio: nan", "is not a number"},
      {"ratio: inf", "is not a number"},
      {"ratio: 1.5", "\"1.5\" is out of range; 0 to 1 is allowed"},
      {"wait: 5", "f:1:7: demo.wait: \"5\" is no duration; write for instance 250ms, 5s"},
      {"wait: 2h", "\"2h\" is out of range; 1ms to 1m is allowed"},
      {"size: 1MIB", "f:1:7: demo.size: \"1MIB\" is no size; write for instance 512"},
      {"size: 1GiB", "\"1GiB\" is out of range; 1 to 1048576 bytes is allowed"},
      {"names: a", "f:1:8: demo.names: needs a list"},
      {"names: [a, [b]]", "f:1:12: demo.names: needs a single value"},
      {"names: [a, ]\ntext: a\nnames: []", "f:3:1: duplicate key \"names\", first in line 1"},
      {"choice: sqlit", "f:1:9: demo.choice: \"sqlit\" is none of memory, sqlite"},
      {"api_key: a\napi_key_file: /secrets/unix", "f:2:15: demo.api_key_file: give either api_key"},
      {"api_key_file: /nowhere", "demo.api_key_file: cannot read the secret: /nowhere: no such"},
      {"api_key_file: /secrets/empty", "demo.api_key_file: the secret is empty"},
      {"api_key_file: /secrets/two", "demo.api_key_file: the secret holds control characters"},
      {"api_key: '${EMPTY}'", "f:1:10: demo.api_key: the secret is empty"},
      {"api_key: '${TWO_LINES}'", "f:1:10: demo.api_key: the secret holds control characters"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.yaml);
    Settings settings;
    const std::string complaints = ReadSettings(c.yaml, settings);
    EXPECT_NE(complaints.find(c.want), std::string::npos) << complaints;
    EXPECT_EQ(complaints.find('\n'), std::string::npos) << complaints;
  }
}

TEST(ConfigReaderTest, SecretsNeverOccurInComplaints) {
  const std::string_view cases[] = {"number: ${KEY}",
                                    "flag: ${KEY}",
                                    "wait: ${KEY}",
                                    "size: ${KEY}",
                                    "choice: ${KEY}",
                                    "ratio: ${KEY}",
                                    "api_key: \"${KEY}\\n\"",
                                    "api_key: [sk-do-not-print]",
                                    "api_kee: sk-do-not-print",
                                    "api_key_file: /secrets/unix\napi_key: sk-do-not-print",
                                    "api_key: \"sk-do-not-print\\q\"",
                                    "api_key: *sk-do-not-print",
                                    "api_key: {sk-do-not-print"};
  for (const std::string_view yaml : cases) {
    SCOPED_TRACE(yaml);
    Settings settings;
    const std::string complaints = ReadSettings(yaml, settings);
    EXPECT_NE(complaints, "");
    EXPECT_EQ(complaints.find(kSecretValue), std::string::npos) << complaints;
  }
}

TEST(ConfigReaderTest, AllComplaintsOfAFileAreCollectedInOrder) {
  Settings settings;
  const std::string complaints = ReadSettings("number: x\nflag: x\nunknown_thing: 1\n", settings);
  EXPECT_EQ(
      complaints,
      "f:2:7: demo.flag: \"x\" is neither true nor false\n"
      "f:1:9: demo.number: \"x\" is not a whole number\n"
      "f:3:1: demo: unknown key \"unknown_thing\"; known are text, flag, number, ratio, wait, "
      "size, names, choice, api_key_file, api_key");
}

TEST(ConfigReaderTest, TwentyComplaintsAreKept) {
  ConfigErrors errors;
  for (int i = 1; i <= 50; ++i) errors.Add({"f", i, 1}, "wrong");
  const std::string message(errors.Status().message());
  EXPECT_EQ(std::count(message.begin(), message.end(), '\n'), 19);
}

TEST(ConfigReaderTest, RequireComplainsOnceOfWhatIsMissing) {
  const ConfigEnvironment environment = FakeEnvironment();
  const absl::StatusOr<ConfigNode> root = ParseConfig("  b:\n  c: 1\n", "f");
  ASSERT_TRUE(root.ok());
  ConfigErrors errors;
  {
    ConfigObject object(*root, "demo", environment, errors);
    std::string text;
    object.ReadString("a", text);
    object.Require("a");
    object.ReadString("b", text);
    object.Require("b");
    object.Require("c");
    object.Complain("c", "is not to our taste");
    object.Complain("d", "would be nice");
  }
  EXPECT_EQ(std::string(errors.Status().message()),
            "f:1:3: demo.a: is missing\n"
            "f:1:3: demo.b: has no value; remove the key or give it one\n"
            "f:2:6: demo.c: is not to our taste\n"
            "f:1:3: demo.d: would be nice");
}

TEST(ConfigReaderTest, ChildrenAndListsAreReadInTheirTurn) {
  const ConfigEnvironment environment = FakeEnvironment();
  const absl::StatusOr<ConfigNode> root =
      ParseConfig("limits: {size: 5}\nproviders:\n- {name: a}\n- {nmae: b}\n", "f");
  ASSERT_TRUE(root.ok());
  ConfigErrors errors;
  int64_t size = 0;
  {
    ConfigObject object(*root, "demo", environment, errors);
    const std::optional<ConfigNode> limits = object.Child("limits");
    ASSERT_TRUE(limits.has_value());
    ConfigObject(*limits, "limits", environment, errors).ReadInt("size", size, {1, 10});
    EXPECT_FALSE(object.Child("absent").has_value());
    EXPECT_TRUE(object.List("absent_too").empty());
    for (const ConfigNode& node : object.List("providers")) {
      std::string name;
      ConfigObject(node, "provider", environment, errors).ReadString("name", name);
    }
  }
  EXPECT_EQ(size, 5);
  EXPECT_EQ(std::string(errors.Status().message()),
            "f:4:4: provider: unknown key \"nmae\"; did you mean \"name\"?");
}

}  // namespace
}  // namespace common
