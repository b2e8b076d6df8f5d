#include "ratelimitd/config.h"

#include <gtest/gtest.h>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

absl::StatusOr<Config> Parse(std::string_view text) {
  const auto root = common::ParseConfig(text, "r.yaml");
  if (!root.ok()) return root.status();
  const common::ConfigEnvironment environment{
      .variable = [](const std::string&) -> std::optional<std::string> { return std::nullopt; },
      .file = [](const std::string&) -> absl::StatusOr<std::string> { return std::string(); }};
  return ParseConfig(*root, environment);
}

TEST(ConfigTest, EmptyFileMeansTheDefaults) {
  const auto config = Parse("{}");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->table.defaults, HealthSettings());
  EXPECT_EQ(config->store, StoreConfig());
}

TEST(ConfigTest, ShippedSampleStatesTheDefaults) {
  const auto config = ReadConfig(CANDOR_SOURCE_DIR "/deploy/config/ratelimitd.yaml");
  ASSERT_TRUE(config.ok()) << config.status();
  const Config defaults;
  EXPECT_EQ(config->table.defaults, defaults.table.defaults);
  EXPECT_EQ(config->table.max_targets, defaults.table.max_targets);
  EXPECT_EQ(config->table.max_reporters, defaults.table.max_reporters);
  EXPECT_EQ(config->threads, defaults.threads);
  EXPECT_EQ(config->drain, defaults.drain);
  EXPECT_EQ(config->log_level, defaults.log_level);
}

TEST(ConfigTest, ProviderStartsFromTheDefaultsOfTheFile) {
  const auto config = Parse(
      "defaults: {breaker: {consecutive: 3, open: 1s}, backoff: {initial: 2s}}\n"
      "providers: [{name: openai, breaker: {open: 10s}}]\n");
  ASSERT_TRUE(config.ok()) << config.status();
  const HealthSettings& openai = config->table.For("openai");
  EXPECT_EQ(openai.breaker.consecutive, 3);
  EXPECT_EQ(openai.breaker.open, 10s);
  EXPECT_EQ(openai.backoff.initial, 2s);
  EXPECT_EQ(config->table.For("other").breaker.open, 1s);
}

TEST(ConfigTest, MistakesAreNamedWithTheirPlace) {
  struct {
    const char* name;
    const char* text;
    const char* want;
  } cases[] = {
      {"unknown key", "lisen: x", "r.yaml:1:1"},
      {"unknown knob", "defaults: {breaker: {consequtive: 1}}", "consecutive"},
      {"out of range", "defaults: {breaker: {failure_rate: 2}}", "r.yaml:1:36"},
      {"no unit", "drain: 5", "r.yaml:1:8"},
      {"unknown store", "store: {kind: redisd}", "r.yaml:1:15"},
      {"path of the memory store", "store: {kind: memory, path: /x}", "only the sqlite store"},
      {"maximum below", "defaults: {backoff: {initial: 5s, max: 1s}}", "must not be below"},
      {"provider without a name", "providers: [{breaker: {open: 1s}}]", "name"},
      {"provider twice", "providers: [{name: a}, {name: a}]", "earlier"},
      {"no mapping", "[1]", "r.yaml:1:1"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = Parse(c.text);
    ASSERT_FALSE(config.ok());
    EXPECT_NE(config.status().message().find(c.want), absl::string_view::npos)
        << config.status().message();
  }
}

TEST(ConfigTest, OnlySomeChangesNeedARestart) {
  const auto current = Parse("{}");
  EXPECT_FALSE(NeedsRestart(*current, *Parse("defaults: {breaker: {open: 9s}}")));
  EXPECT_FALSE(NeedsRestart(*current, *Parse("providers: [{name: a}]")));
  EXPECT_TRUE(NeedsRestart(*current, *Parse("listen: 127.0.0.1:1")));
  EXPECT_TRUE(NeedsRestart(*current, *Parse("store: {kind: memory}")));
  EXPECT_TRUE(NeedsRestart(*current, *Parse("threads: 3")));
}

}  // namespace
}  // namespace ratelimitd
