#include "gateway/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace gateway {
namespace {

using testing::HasSubstr;

common::ConfigEnvironment Environment() {
  common::ConfigEnvironment environment;
  environment.variable = [](const std::string& name) -> std::optional<std::string> {
    if (name == "OPENAI_API_KEY") return "sk-secret-value";
    return std::nullopt;
  };
  environment.file = [](const std::string& path) -> absl::StatusOr<std::string> {
    return absl::NotFoundError(path);
  };
  return environment;
}

absl::StatusOr<std::shared_ptr<const Config>> Parse(std::string_view text) {
  return ParseGatewayConfig(text, "gateway.yaml", Environment());
}

constexpr std::string_view kMinimal = R"(
providers:
  - {name: openai, dialect: openai, base_url: "https://api.openai.com/v1", api_key: "${OPENAI_API_KEY}"}
models:
  - {name: gpt, targets: [{provider: openai, model: gpt-4o-mini}]}
)";

TEST(ConfigTest, AMinimalFileHasTheDocumentedDefaults) {
  const auto config = Parse(kMinimal);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ((*config)->limits.body_bytes, 32 << 20);
  EXPECT_EQ((*config)->ratelimitd.deadline, std::chrono::milliseconds(20));
  const ProviderConfig& provider = (*config)->providers.at(0);
  EXPECT_EQ(provider.host, "api.openai.com");
  EXPECT_EQ(provider.port, 443);
  EXPECT_TRUE(provider.is_tls);
  EXPECT_EQ(provider.endpoint.base_path, "/v1");
  EXPECT_EQ(provider.api_key.Reveal(), "sk-secret-value");
  EXPECT_TRUE((*config)->routes.IsOpen());
}

TEST(ConfigTest, BaseUrlTable) {
  struct Case {
    const char* url;
    const char* host;
    int port;
    bool is_tls;
    const char* path;
  };
  const Case cases[] = {
      {"http://127.0.0.1:8000/v1/", "127.0.0.1", 8000, false, "/v1"},
      {"https://[::1]:9443", "::1", 9443, true, ""},
      {"http://vllm", "vllm", 80, false, ""},
      {"https://host/a/b", "host", 443, true, "/a/b"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.url);
    const auto config =
        Parse(std::string("providers: [{name: p, dialect: openai, base_url: \"") + c.url +
              "\"}]\nmodels: [{name: m, targets: [{provider: p, model: x}]}]\n");
    ASSERT_TRUE(config.ok()) << config.status();
    const ProviderConfig& provider = (*config)->providers.at(0);
    EXPECT_EQ(provider.host, c.host);
    EXPECT_EQ(provider.port, c.port);
    EXPECT_EQ(provider.is_tls, c.is_tls);
    EXPECT_EQ(provider.endpoint.base_path, c.path);
  }
}

TEST(ConfigTest, ResponsesAreServedAsTheProviderSays) {
  const std::pair<const char*, ResponsesMode> cases[] = {
      {"", ResponsesMode::kAuto},
      {", responses: auto", ResponsesMode::kAuto},
      {", responses: native", ResponsesMode::kNative},
      {", responses: translated", ResponsesMode::kTranslated},
  };
  for (const auto& [words, mode] : cases) {
    SCOPED_TRACE(words);
    const auto config =
        Parse(std::string("providers: [{name: p, dialect: openai, base_url: \"http://h\"") + words +
              "}]\nmodels: [{name: m, targets: [{provider: p, model: x}]}]\n");
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_EQ((*config)->providers.at(0).responses, mode);
  }
}

TEST(ConfigTest, EveryComplaintNamesThePlaceAndTheRemedy) {
  struct Case {
    const char* name;
    std::string text;
    const char* want;
  };
  const std::string provider = "providers: [{name: p, dialect: openai, base_url: \"http://h\"}]\n";
  const std::string model = "models: [{name: m, targets: [{provider: p, model: x}]}]\n";
  const Case cases[] = {
      {"unknown key", provider + model + "lisen: x\n", "gateway.yaml:3:1"},
      {"nearest key", provider + model + "lisen: x\n", "listen"},
      {"dangling provider", provider + "models: [{name: m, targets: [{provider: q, model: x}]}]\n",
       "no provider is called \"q\""},
      {"unknown dialect",
       "providers: [{name: p, dialect: openia, base_url: \"http://h\"}]\n" + model, "openai"},
      {"no scheme", "providers: [{name: p, dialect: openai, base_url: h}]\n" + model,
       "must start with https:// or http://"},
      {"credentials in the url",
       "providers: [{name: p, dialect: openai, base_url: \"http://u:p@h\"}]\n" + model,
       "use api_key"},
      {"azure without version",
       "providers: [{name: p, dialect: azure, base_url: \"http://h\"}]\n" + model, "api_version"},
      {"an API that the dialect lacks",
       "providers: [{name: p, dialect: gemini, base_url: \"http://h\", responses: native}]\n" +
           model,
       "has no Responses API"},
      {"a provider twice",
       "providers: [{name: p, dialect: openai, base_url: \"http://h\"}, {name: p, dialect: openai, "
       "base_url: \"http://i\"}]\n" +
           model,
       "is there twice"},
      {"no targets", provider + "models: [{name: m, targets: []}]\n", "1 to 64"},
      {"bad key hash", provider + model + "clients: [{name: c, key_sha256: abc}]\n", "sha256sum"},
      {"empty clients", provider + model + "clients: []\n", "leave the gateway open"},
      {"no models", provider, "models"},
      {"listen without a port", provider + model + "listen: localhost\n", "ADDRESS:PORT"},
      {"a certificate without its key", provider + model + "tls: {cert_file: c.pem}\n",
       "gateway.yaml:3:6: tls.key_file: is missing"},
      {"a certificate for ratelimitd without its key",
       provider + model + "ratelimitd: {tls: {cert_file: c.pem}}\n",
       "ratelimitd.tls.cert_file: cert_file and key_file go together"},
      {"authorities that cannot be read",
       "providers: [{name: p, dialect: openai, base_url: \"http://h\", ca_file: ca.pem}]\n" + model,
       "gateway.yaml:1:71: provider.ca_file: cannot be read"},
      {"memory for no body", provider + model + "limits: {memory: 64MiB}\n", "4 times"},
      {"an empty key hash", provider + model + "clients: [{name: c, key_sha256: ''}]\n",
       "gateway.yaml:3:33: client.key_sha256: must be 64 hexadecimal digits: printf %s \"$KEY\" | "
       "sha256sum"},
      {"listen and admin on one port",
       provider + model + "listen: 127.0.0.1:80\nadmin: 127.0.0.1:80\n",
       "gateway.yaml:4:8: gateway configuration.admin: listen and admin are the same address"},
      {"listen on the port that admin has by default",
       provider + model + "listen: 127.0.0.1:9090\n", "gateway.yaml:3:9"},
      {"admin with a strange port", provider + model + "admin: 127.0.0.1:99999\n", "ADDRESS:PORT"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = Parse(c.text);
    ASSERT_FALSE(config.ok());
    EXPECT_THAT(std::string(config.status().message()), HasSubstr(c.want));
  }
}

std::string WithTarget(std::string_view target) {
  return std::string(kMinimal) + "ratelimitd: {target: '" + std::string(target) + "'}\n";
}

TEST(ConfigTest, WhatGrpcCanResolveIsATarget) {
  const char* good[] = {"ratelimitd:50051",
                        "127.0.0.1:50051",
                        "[::1]:50051",
                        "ratelimitd.example.com",
                        "dns:ratelimitd:50051",
                        "dns:///ratelimitd:50051",
                        "dns://10.0.0.53/ratelimitd:50051",
                        "ipv4:10.0.0.1:50051,10.0.0.2:50051",
                        "ipv6:[::1]:50051",
                        "unix:/run/ratelimitd.sock",
                        "unix:///run/ratelimitd.sock",
                        "${NOT_SET:-dns:///ratelimitd:50051}"};
  for (const char* target : good) {
    SCOPED_TRACE(target);
    const auto config = Parse(WithTarget(target));
    EXPECT_TRUE(config.ok()) << config.status();
  }
}

TEST(ConfigTest, WhatGrpcCannotResolveIsNoTarget) {
  const char* bad[] = {"",
                       " ",
                       "foo://bar",
                       "https://ratelimitd:50051",
                       "foo:bar",
                       "dns:",
                       "dns:///",
                       ":50051",
                       "ratelimitd:",
                       "ratelimitd:0",
                       "ratelimitd:99999",
                       "::1",
                       "10.0.0.1:50051,10.0.0.2:50051",
                       "${NOT_SET:-}"};
  for (const char* target : bad) {
    SCOPED_TRACE(target);
    const auto config = Parse(WithTarget(target));
    ASSERT_FALSE(config.ok());
    EXPECT_THAT(std::string(config.status().message()),
                HasSubstr("gateway.yaml:6:22: ratelimitd.target: must be HOST:PORT"));
  }
}

TEST(ConfigTest, EveryKeyThatNeedsARestartIsNamed) {
  const auto config = [](std::string_view more) {
    return *Parse(std::string(kMinimal) + std::string(more)).value();
  };
  const Config started = config("");
  EXPECT_THAT(FixedDifferences(started, config("access_log: false\n")), testing::IsEmpty());
  EXPECT_THAT(FixedDifferences(started, config("listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\n"
                                               "threads: 3\nratelimitd: {target: r:4}\n")),
              testing::ElementsAre("listen", "admin", "threads", "ratelimitd.target"));
}

TEST(ConfigTest, FingerprintsTellKeysAndProvidersApartAndShowNeither) {
  const auto config = Parse(R"(
providers:
  - {name: a, dialect: openai, base_url: "http://h", api_key: sk-one}
  - {name: b, dialect: openai, base_url: "http://h", api_key: sk-one}
  - {name: c, dialect: openai, base_url: "http://h", api_key: sk-two}
models:
  - {name: m, targets: [{provider: a, model: x}]}
)");
  ASSERT_TRUE(config.ok()) << config.status();
  std::set<std::string> fingerprints;
  for (const ProviderConfig& provider : (*config)->providers) {
    fingerprints.insert(provider.credential_fingerprint);
    EXPECT_THAT(provider.credential_fingerprint, testing::MatchesRegex("[0-9a-f]{16}"));
  }
  EXPECT_EQ(fingerprints.size(), 3u);
}

TEST(ConfigTest, ComplaintsNeverShowASecret) {
  const auto config = Parse(std::string(kMinimal) + "unknown: \"${OPENAI_API_KEY}\"\n");
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(std::string(config.status().message()), testing::Not(HasSubstr("sk-secret")));
}

TEST(ConfigTest, SecretsForTheScrubberAreTheKeysAndTheHosts) {
  const auto config = Parse(kMinimal);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT((*config)->secrets, testing::Contains("sk-secret-value"));
  EXPECT_THAT((*config)->secrets, testing::Contains("api.openai.com"));
}

}  // namespace
}  // namespace gateway
