#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "ratelimitd/config.h"
#include "tests/support/certificate_files.h"

namespace ratelimitd {
namespace {

absl::StatusOr<Config> Parse(std::string_view text) {
  const auto root = common::ParseConfig(text, "r.yaml");
  if (!root.ok()) return root.status();
  return ParseConfig(*root, common::SystemConfigEnvironment());
}

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::set<std::string> Keys(const std::string& yaml) {
  std::set<std::string> keys;
  const std::regex key("(\\w+):( |\n|$)");
  for (std::sregex_iterator it(yaml.begin(), yaml.end(), key), end; it != end; ++it) {
    keys.insert((*it)[1]);
  }
  return keys;
}

TEST(RenderConfigTest, ParsesBackToTheSameValue) {
  const CertificateDirectory files;
  const common::TlsPaths tls = files.Write(SelfSigned());
  const std::string tls_text = "tls: {cert_file: " + tls.cert_file + ", key_file: " + tls.key_file +
                               ", client_ca_file: " + tls.cert_file + "}\n";
  const struct {
    const char* name;
    std::string text;
  } cases[] = {
      {"defaults", "{}"},
      {"names that YAML and the reader have plans for",
       "providers: [{name: \"a: #'\\\"$${B}\\n\"}, {name: \"yes\"}, {name: \"2\"}]"},
      {"every knob of a provider",
       "defaults: {breaker: {failure_rate: 0.123, open: 1500ms}}\n"
       "providers: [{name: x, backoff: {initial: 2s, max: 3s, ceiling: 4s}, breaker: {window: 61s,"
       " min_calls: 11, failure_rate: 0.3, consecutive: 6, lump: 101ms, quorum: 3, open: 6s,"
       " open_max: 301s, probes: 2, probe_successes: 3, probe_lease: 31s, ramp: 32s},"
       " block: {quota: 16m, quota_max: 25h, auth: 2h},"
       " limits: {requests_per_minute: 1, tokens_per_minute: 2, concurrent: 3}}]"},
      {"the rest",
       "listen: 127.0.0.1:1\nadmin: '[::1]:2'\nthreads: 3\ndrain: 4s\nlog_level: error\n"
       "store: {kind: memory}\nbounds: {targets: 5, reporters: 6}\n"
       "retry_budget: {ratio: 0.35, min_per_second: 7}"},
      {"sqlite", "store: {kind: sqlite, path: \"/tmp/with space.db\"}"},
      {"redis",
       "store: {kind: redis, url: \"rediss://[::1]:7/8\", tls_server_name: n,"
       " sentinels: [\"a:1\", \"[::2]:3\"], sentinel_master: m, prefix: p, timeout: 9ms}"},
      {"TLS and operators by name", tls_text + "admin_service: {client_names: [ops, \"a$$b\"]}"},
      {"operators' own listener",
       tls_text + "admin_service:\n  listen: 0.0.0.0:1\n  client_names: [ops]\n  " + tls_text},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = Parse(c.text);
    ASSERT_TRUE(config.ok()) << config.status();
    const std::string text = RenderConfig(*config);
    const auto again = Parse(text);
    ASSERT_TRUE(again.ok()) << again.status() << text;
    EXPECT_TRUE(*again == *config) << text;
  }
}

TEST(RenderConfigTest, NamesEveryKnobOfTheSample) {
  const std::string path = CANDOR_SOURCE_DIR "/deploy/config/ratelimitd.yaml";
  const auto config = ReadConfig(path);
  ASSERT_TRUE(config.ok()) << config.status();
  const std::set<std::string> rendered = Keys(RenderConfig(*config));
  for (const std::string& key : Keys(std::regex_replace(ReadFile(path), std::regex("#.*"), ""))) {
    EXPECT_TRUE(rendered.contains(key)) << key;
  }
}

TEST(RenderConfigTest, OfASecretItSaysOnlyThatThereIsOne) {
  const auto config = Parse(
      "store: {kind: redis, username: u, password: hush-hush, sentinels: [\"s:1\"],"
      " sentinel_password: hush-too}");
  ASSERT_TRUE(config.ok()) << config.status();
  const std::string text = RenderConfig(*config);
  EXPECT_EQ(text.find("hush"), std::string::npos);
  EXPECT_NE(text.find("# password: (not shown)"), std::string::npos);
  EXPECT_NE(text.find("# sentinel_password: (not shown)"), std::string::npos);
}

}  // namespace
}  // namespace ratelimitd
