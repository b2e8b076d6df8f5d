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
      .file = [](const std::string& path) -> absl::StatusOr<std::string> {
        return path == "/notes.txt" ? "no certificate" : "";
      }};
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
  EXPECT_EQ(config->table.retry_budget, defaults.table.retry_budget);
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
      {"negative ratio", "retry_budget: {ratio: -1}", "r.yaml:1:23"},
      {"unknown budget", "retry_budget: {per_second: 1}", "min_per_second"},
      {"unknown store", "store: {kind: redisd}", "r.yaml:1:15"},
      {"url of another store", "store: {kind: memory, url: 'redis://h'}", "only the redis store"},
      {"path of the redis store", "store: {kind: redis, path: /x}", "only the sqlite store"},
      {"url without scheme", "store: {kind: redis, url: 'localhost:6379'}", "redis://host:6379/0"},
      {"url with a credential", "store: {kind: redis, url: 'redis://u:p@h'}", "password_file"},
      {"url with a bad port", "store: {kind: redis, url: 'redis://h:66000'}", "redis://host"},
      {"url with a bad database", "store: {kind: redis, url: 'redis://h/x'}", "redis://host"},
      {"master of no sentinels", "store: {kind: redis, sentinel_master: m}",
       "r.yaml:1:39: store.sentinel_master: needs sentinels"},
      {"password of no sentinels", "store: {kind: redis, sentinel_password: p}", "needs sentinels"},
      {"bad sentinel", "store: {kind: redis, sentinels: ['h:x']}", "sentinel-1:26379"},
      {"braces in the prefix", "store: {kind: redis, prefix: '{a}'}", "without braces"},
      {"username alone", "store: {kind: redis, username: u}", "needs a password"},
      {"empty ca_file", "store: {kind: redis, url: 'rediss://h', ca_file: /nowhere.pem}",
       "/nowhere.pem is empty"},
      {"ca_file of something else", "store: {kind: redis, url: 'rediss://h', ca_file: /notes.txt}",
       "r.yaml:1:50: store.ca_file: /notes.txt holds no certificate"},
      {"authorities without TLS", "store: {kind: redis, url: 'redis://h', ca_file: /notes.txt}",
       "r.yaml:1:49: store.ca_file: needs TLS: begin the url with rediss://"},
      {"server name without TLS", "store: {kind: redis, tls_server_name: r}", "rediss://"},
      {"one address twice", "listen: '[::]:1'\nadmin: '[::]:1'", "r.yaml:2:8: ratelimitd.admin"},
      {"a default address twice", "listen: 127.0.0.1:9091", "admin"},
      {"operators where gateways are",
       "listen: 127.0.0.1:1\nadmin_service: {listen: '127.0.0.1:1'}", "r.yaml:2:25"},
      {"operators where the page is", "admin_service: {listen: '127.0.0.1:9091'}", "another port"},
      {"listen without a port", "listen: localhost", "r.yaml:1:9: ratelimitd.listen: must be HOST"},
      {"listen without a host", "listen: 50051", "HOST:PORT"},
      {"listen beyond the ports", "listen: 127.0.0.1:65536", "HOST:PORT"},
      {"listen on a name of a port", "listen: 127.0.0.1:http", "HOST:PORT"},
      {"listen with a sign", "listen: 127.0.0.1:+80", "HOST:PORT"},
      {"listen on IPv6 without brackets", "listen: '::1:80'", "[IPv6]:PORT"},
      {"listen on no address", "listen: unix:/tmp/x", "HOST:PORT"},
      {"admin without a port", "admin: '127.0.0.1:'", "r.yaml:1:8: ratelimitd.admin: must be HOST"},
      {"operators without a port", "admin_service: {listen: localhost}",
       "r.yaml:1:25: admin_service.listen: must be HOST"},
      {"path of the memory store", "store: {kind: memory, path: /x}", "only the sqlite store"},
      {"maximum below", "defaults: {backoff: {initial: 5s, max: 1s}}", "must not be below"},
      {"provider without a name", "providers: [{breaker: {open: 1s}}]", "name"},
      {"provider with an empty name", "providers: [{name: ''}]", "r.yaml:1:20: provider.name"},
      {"provider twice", "providers: [{name: a}, {name: a}]", "earlier"},
      {"no mapping", "[1]", "r.yaml:1:1"},
      {"certificate without a key", "tls: {cert_file: /nowhere.pem}", "key_file"},
      {"absent certificate", "tls: {cert_file: /nowhere.pem, key_file: /nowhere.key}",
       "r.yaml:1:18: tls.cert_file"},
      {"operators without a door", "admin_service: {}", "listen: 127.0.0.1:50052"},
      {"names without certificates", "admin_service: {client_names: [ops]}", "client_ca_file"},
      {"names without certificates on a listener of its own",
       "admin_service: {listen: '127.0.0.1:1', client_names: [ops]}", "client_ca_file"},
      {"operators' door open to all", "admin_service: {listen: '0.0.0.0:1'}", "127.0.0.1"},
      {"TLS of no listener", "admin_service: {client_names: [ops], tls: {}}", "listen"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto config = Parse(c.text);
    ASSERT_FALSE(config.ok());
    EXPECT_NE(config.status().message().find(c.want), absl::string_view::npos)
        << config.status().message();
  }
}

TEST(RatelimitdConfigTest, ReadsWhereTheRedisIs) {
  const auto config = Parse(
      "store: {kind: redis, url: 'rediss://[::1]:7000/3', username: u, password: p,"
      " sentinels: [one, 'two:7001'], sentinel_master: m, prefix: x, timeout: 10ms}");
  ASSERT_TRUE(config.ok()) << config.status();
  const RedisSettings& redis = config->store.redis;
  EXPECT_EQ(config->store.kind, StoreConfig::Kind::kRedis);
  EXPECT_EQ(redis.address, (RedisAddress{"::1", "7000"}));
  EXPECT_TRUE(redis.is_tls);
  EXPECT_EQ(redis.database, 3);
  EXPECT_EQ(redis.password.Reveal(), "p");
  EXPECT_EQ(redis.sentinels, (std::vector<RedisAddress>{{"one", "26379"}, {"two", "7001"}}));
  EXPECT_EQ(redis.timeout, milliseconds(10));
  EXPECT_FALSE(Parse("store: {kind: redis, url: 'redis://h'}")->store.redis.is_tls);
}

TEST(ConfigTest, ListenersMayShareAHostAndPortZero) {
  EXPECT_TRUE(Parse("{listen: 'h:0', admin: 'h:0', admin_service: {listen: '127.0.0.1:0'}}").ok());
  EXPECT_TRUE(Parse("{listen: 'h:10', admin: 'h:1'}").ok());
}

TEST(ConfigTest, WhatNeedsARestartIsNamed) {
  const auto current = Parse("{}");
  for (const char* text : {"{}", "defaults: {breaker: {open: 9s}}", "providers: [{name: a}]",
                           "retry_budget: {ratio: 1}"}) {
    EXPECT_TRUE(FixedDifferences(*current, *Parse(text)).empty()) << text;
  }
  const std::pair<const char*, std::string_view> cases[] = {
      {"listen: 127.0.0.1:1", "listen"},
      {"admin: 127.0.0.1:1", "admin"},
      {"admin_service: {listen: 'localhost:1'}", "admin_service"},
      {"threads: 3", "threads"},
      {"drain: 9s", "drain"},
      {"log_level: error", "log_level"},
      {"store: {kind: memory}", "store"},
      {"store: {kind: redis}", "store"},
      {"bounds: {targets: 9}", "bounds.targets"},
      {"bounds: {reporters: 9}", "bounds.reporters"}};
  for (const auto& [text, key] : cases) {
    EXPECT_EQ(FixedDifferences(*current, *Parse(text)), std::vector<std::string_view>{key}) << text;
  }
  Config with_tls = *current;
  with_tls.tls.cert_file = "tls.crt";
  EXPECT_EQ(FixedDifferences(*current, with_tls), std::vector<std::string_view>{"tls"});
}

}  // namespace
}  // namespace ratelimitd
