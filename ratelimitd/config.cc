#include "ratelimitd/config.h"

#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "common/config_document.h"
#include "common/listen_address.h"

namespace ratelimitd {
namespace {

using common::ConfigEnvironment;
using common::ConfigErrors;
using common::ConfigNode;
using common::ConfigObject;
using common::ConfigRange;

constexpr milliseconds kShortest{1};
constexpr milliseconds kDay = std::chrono::hours(24);
constexpr ConfigRange<milliseconds> kUpToADay{kShortest, kDay};
constexpr ConfigRange<int64_t> kCount{1, 1000};

// gRPC takes more, and not for what it says: port 65536 for 0, no port for 443.
void ReadAddress(ConfigObject& object, std::string_view key, std::string& address) {
  object.ReadString(key, address);
  if (object.Has(key) && !common::SplitAddress(address)) {
    object.Complain(key, "must be HOST:PORT or [IPv6]:PORT, for instance 127.0.0.1:50051");
  }
}

// Reads sections that share an environment and a list of complaints.
class SectionReader {
 public:
  SectionReader(const ConfigEnvironment& environment, ConfigErrors& errors)
      : environment_(environment), errors_(errors) {}

  template <typename Read>
  void Section(ConfigObject& parent, const std::string& key, Read read) {
    if (const auto node = parent.Child(key)) {
      ConfigObject object(*node, key, environment_, errors_);
      read(object);
    }
  }

  template <typename Read>
  void EachOf(ConfigObject& parent, const std::string& key, const std::string& name, Read read) {
    for (const ConfigNode& node : parent.List(key)) {
      ConfigObject object(node, name, environment_, errors_);
      read(object);
    }
  }

 private:
  const ConfigEnvironment& environment_;
  ConfigErrors& errors_;
};

void ReadCount(ConfigObject& object, std::string_view key, int& value) {
  int64_t wide = value;
  object.ReadInt(key, wide, kCount);
  value = static_cast<int>(wide);
}

void ReadBackoff(ConfigObject& object, BackoffSettings& backoff) {
  object.ReadDuration("initial", backoff.initial, kUpToADay);
  object.ReadDuration("max", backoff.max, kUpToADay);
  object.ReadDuration("ceiling", backoff.ceiling, kUpToADay);
  if (backoff.max < backoff.initial) object.Complain("max", "must not be below initial");
}

void ReadBreaker(ConfigObject& object, BreakerSettings& breaker) {
  object.ReadDuration("window", breaker.window, {std::chrono::seconds(1), std::chrono::hours(1)});
  ReadCount(object, "min_calls", breaker.min_calls);
  object.ReadDouble("failure_rate", breaker.failure_rate, {0.01, 1.0});
  ReadCount(object, "consecutive", breaker.consecutive);
  object.ReadDuration("lump", breaker.lump, {milliseconds(0), std::chrono::minutes(1)});
  ReadCount(object, "quorum", breaker.quorum);
  object.ReadDuration("open", breaker.open, kUpToADay);
  object.ReadDuration("open_max", breaker.open_max, kUpToADay);
  ReadCount(object, "probes", breaker.probes);
  ReadCount(object, "probe_successes", breaker.probe_successes);
  object.ReadDuration("probe_lease", breaker.probe_lease, {kShortest, std::chrono::hours(1)});
  object.ReadDuration("ramp", breaker.ramp, {milliseconds(0), std::chrono::hours(1)});
  if (breaker.open_max < breaker.open) object.Complain("open_max", "must not be below open");
}

void ReadBlock(ConfigObject& object, BlockSettings& block) {
  constexpr milliseconds kLongest = 35 * kDay;
  object.ReadDuration("quota", block.quota, {kShortest, kLongest});
  object.ReadDuration("quota_max", block.quota_max, {kShortest, kLongest});
  object.ReadDuration("auth", block.auth, {kShortest, kLongest});
  if (block.quota_max < block.quota) object.Complain("quota_max", "must not be below quota");
}

void ReadLimits(ConfigObject& object, LimitSettings& limits) {
  constexpr ConfigRange<int64_t> kPerMinute{0, 1'000'000'000'000};
  object.ReadInt("requests_per_minute", limits.requests_per_minute, kPerMinute);
  object.ReadInt("tokens_per_minute", limits.tokens_per_minute, kPerMinute);
  object.ReadInt("concurrent", limits.concurrent, {0, 1'000'000});
}

void ReadHealth(SectionReader& reader, ConfigObject& object, HealthSettings& health) {
  reader.Section(object, "backoff", [&](ConfigObject& o) { ReadBackoff(o, health.backoff); });
  reader.Section(object, "breaker", [&](ConfigObject& o) { ReadBreaker(o, health.breaker); });
  reader.Section(object, "block", [&](ConfigObject& o) { ReadBlock(o, health.block); });
  reader.Section(object, "limits", [&](ConfigObject& o) { ReadLimits(o, health.limits); });
}

// "host:port", also "[::1]:6379"; without a port, `default_port`.
std::optional<RedisAddress> ParseAddress(std::string_view text, std::string_view default_port) {
  RedisAddress address{std::string(text), std::string(default_port)};
  const size_t bracket = text.rfind(']');
  const size_t colon = text.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || bracket < colon)) {
    address = {std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
  }
  if (address.host.size() > 1 && address.host.front() == '[' && address.host.back() == ']') {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  int port = 0;
  const bool is_number = absl::SimpleAtoi(address.port, &port);
  if (address.host.empty() || !is_number || port < 1 || port > 65535) return std::nullopt;
  return address;
}

// "redis://host:6379/0", or "rediss://" for TLS. False: it is no such thing. Credentials have keys
// of their own, so that they can come from a file.
bool ParseRedisUrl(std::string_view url, RedisSettings& redis) {
  constexpr std::string_view kPlain = "redis://";
  constexpr std::string_view kTls = "rediss://";
  redis.is_tls = url.substr(0, kTls.size()) == kTls;
  const std::string_view scheme = redis.is_tls ? kTls : kPlain;
  if (url.substr(0, scheme.size()) != scheme) return false;
  url.remove_prefix(scheme.size());
  const size_t slash = url.find('/');
  if (slash != std::string_view::npos) {
    const std::string database(url.substr(slash + 1));
    if (!database.empty() && !absl::SimpleAtoi(database, &redis.database)) return false;
    if (redis.database < 0) return false;
    url = url.substr(0, slash);
  }
  const auto address = ParseAddress(url, "6379");
  if (!address || url.find('@') != std::string_view::npos) return false;
  redis.address = *address;
  return true;
}

void ReadSentinels(ConfigObject& object, RedisSettings& redis) {
  std::vector<std::string> sentinels;
  object.ReadStrings("sentinels", sentinels);
  for (const std::string& sentinel : sentinels) {
    if (const auto address = ParseAddress(sentinel, "26379")) {
      redis.sentinels.push_back(*address);
    } else {
      object.Complain("sentinels", "must be a list like [\"sentinel-1:26379\"]");
    }
  }
  object.ReadString("sentinel_master", redis.sentinel_master);
  object.ReadSecret("sentinel_password", redis.sentinel_password);
  for (const std::string_view key :
       {"sentinel_master", "sentinel_password", "sentinel_password_file"}) {
    if (!sentinels.empty() || !object.Has(key)) continue;
    object.Complain(key, "needs sentinels: say where they are, sentinels: [\"sentinel-1:26379\"]");
  }
}

// What only a connection with TLS has.
void CheckRedisTls(ConfigObject& object, const ConfigEnvironment& environment,
                   const RedisSettings& redis) {
  for (const std::string_view key : {"ca_file", "tls_server_name"}) {
    if (redis.is_tls || !object.Has(key)) continue;
    object.Complain(key, "needs TLS: begin the url with rediss://, or leave this away");
  }
  std::vector<common::TlsComplaint> complaints;
  common::ReadTlsFiles({.ca_file = redis.ca_file}, environment, complaints);
  for (const auto& complaint : complaints) object.Complain("ca_file", complaint.text);
}

void ReadRedis(ConfigObject& object, const ConfigEnvironment& environment, RedisSettings& redis) {
  std::string url = "redis://127.0.0.1:6379/0";
  object.ReadString("url", url);
  if (!ParseRedisUrl(url, redis)) {
    object.Complain(
        "url",
        "must be like redis://host:6379/0, or rediss:// for TLS; the password has a key "
        "of its own, password or password_file");
  }
  object.ReadString("username", redis.username);
  object.ReadSecret("password", redis.password);
  object.ReadString("ca_file", redis.ca_file);
  object.ReadString("tls_server_name", redis.tls_server_name);
  object.ReadString("prefix", redis.prefix);
  object.ReadDuration("timeout", redis.timeout, {kShortest, std::chrono::seconds(10)});
  ReadSentinels(object, redis);
  CheckRedisTls(object, environment, redis);
  if (!redis.username.empty() && redis.password.IsEmpty()) {
    object.Complain("username", "needs a password too");
  }
  if (redis.prefix.empty() || redis.prefix.find_first_of("{}") != std::string::npos) {
    object.Complain("prefix", "must be a word without braces");
  }
}

std::string_view KeyOf(common::TlsPart part) {
  switch (part) {
    case common::TlsPart::kCertificate:
      return "cert_file";
    case common::TlsPart::kKey:
      return "key_file";
    case common::TlsPart::kAuthorities:
      return "client_ca_file";
  }
  return "";
}

void ReadTls(ConfigObject& object, const ConfigEnvironment& environment, common::TlsPaths& tls) {
  object.Require("cert_file");
  object.Require("key_file");
  object.ReadString("cert_file", tls.cert_file);
  object.ReadString("key_file", tls.key_file);
  object.ReadString("client_ca_file", tls.ca_file);
  std::vector<common::TlsComplaint> complaints;
  common::ReadTlsFiles(tls, environment, complaints);
  for (const auto& complaint : complaints) object.Complain(KeyOf(complaint.part), complaint.text);
}

// Whether only this machine, or `kubectl port-forward` to it, reaches the address.
bool IsLoopback(std::string_view address) {
  const std::string_view host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.substr(0, 4) == "127.";
}

// Whether two listeners would want one port. Those on port 0 never do.
bool IsSamePort(std::string_view address, std::string_view other) {
  return address == other && address.substr(address.rfind(':') + 1) != "0";
}

void ReadAdminService(SectionReader& reader, const ConfigEnvironment& environment,
                      const Config& main, ConfigObject& object, AdminServiceConfig& admin) {
  admin.is_on = true;
  ReadAddress(object, "listen", admin.listen);
  object.ReadStrings("client_names", admin.client_names);
  reader.Section(object, "tls", [&](ConfigObject& o) { ReadTls(o, environment, admin.tls); });
  const bool is_own = !admin.listen.empty();
  const common::TlsPaths& tls = is_own ? admin.tls : main.tls;
  if (object.Has("tls") && !is_own) {
    object.Complain("tls", "belongs to a listener of its own: say where, listen: 127.0.0.1:50052");
  }
  if (!is_own && admin.client_names.empty()) {
    object.Complain(
        "client_names",
        "on the gateways' listener, say whose certificates may: client_names: [ops]; or "
        "give it a listener of its own, listen: 127.0.0.1:50052");
  }
  if (!admin.client_names.empty() && tls.ca_file.empty()) {
    object.Complain("client_names",
                    "needs client certificates: add client_ca_file to the tls of that listener");
  }
  if (is_own && tls.ca_file.empty() && !IsLoopback(admin.listen)) {
    object.Complain("listen",
                    "is open to others: listen on 127.0.0.1, or add tls with a client_ca_file");
  }
  if (is_own && (IsSamePort(admin.listen, main.listen) || IsSamePort(admin.listen, main.admin))) {
    object.Complain("listen", "is taken by another listener of this file: give it another port");
  }
}

void ReadStore(ConfigObject& object, const ConfigEnvironment& environment, StoreConfig& store) {
  using Kind = StoreConfig::Kind;
  auto kind = static_cast<size_t>(store.kind);
  object.ReadChoice("kind", {"sqlite", "memory", "redis"}, kind);
  store.kind = static_cast<Kind>(kind);
  object.ReadString("path", store.path);
  if (store.kind != Kind::kSqlite && object.Has("path")) {
    object.Complain("path", "only the sqlite store has a path");
  }
  if (store.path.empty()) object.Complain("path", "must not be empty");
  if (store.kind == Kind::kRedis) {
    ReadRedis(object, environment, store.redis);
  } else if (object.Has("url")) {
    object.Complain("url", "only the redis store has a url");
  }
}

void ReadProvider(SectionReader& reader, ConfigObject& object, TableSettings& table) {
  std::string name;
  object.Require("name");
  object.ReadString("name", name);
  HealthSettings health = table.defaults;
  ReadHealth(reader, object, health);
  if (object.Has("name") && (name.empty() || name.size() > 256)) {
    object.Complain("name", "must have 1 to 256 bytes");
  }
  if (!name.empty() && !table.providers.emplace(name, health).second) {
    object.Complain("name", "is used by an earlier provider");
  }
}

void ReadBounds(ConfigObject& object, TableSettings& table) {
  auto targets = static_cast<int64_t>(table.max_targets);
  auto reporters = static_cast<int64_t>(table.max_reporters);
  object.ReadInt("targets", targets, {1, 1'000'000});
  object.ReadInt("reporters", reporters, {1, 100'000});
  table.max_targets = static_cast<size_t>(targets);
  table.max_reporters = static_cast<size_t>(reporters);
}

void ReadRetryBudget(ConfigObject& object, RetryBudgetSettings& budget) {
  object.ReadDouble("ratio", budget.ratio, {0.0, 100.0});
  object.ReadInt("min_per_second", budget.min_per_second, {0, 1'000'000});
}

}  // namespace

absl::StatusOr<Config> ParseConfig(const ConfigNode& root, const ConfigEnvironment& environment) {
  Config config;
  ConfigErrors errors;
  {
    SectionReader reader(environment, errors);
    ConfigObject object(root, "ratelimitd", environment, errors);
    ReadAddress(object, "listen", config.listen);
    ReadAddress(object, "admin", config.admin);
    if (IsSamePort(config.admin, config.listen)) {
      object.Complain("admin", "is the address of listen too: give it another port");
    }
    reader.Section(object, "tls", [&](ConfigObject& o) { ReadTls(o, environment, config.tls); });
    reader.Section(object, "admin_service", [&](ConfigObject& o) {
      ReadAdminService(reader, environment, config, o, config.admin_service);
    });
    int64_t threads = config.threads;
    object.ReadInt("threads", threads, {0, 256});
    config.threads = static_cast<int>(threads);
    object.ReadDuration("drain", config.drain, {milliseconds(0), std::chrono::minutes(10)});
    auto level = static_cast<size_t>(config.log_level);
    object.ReadChoice("log_level", {"debug", "info", "warning", "error"}, level);
    config.log_level = static_cast<common::LogLevel>(level);
    reader.Section(object, "store",
                   [&](ConfigObject& o) { ReadStore(o, environment, config.store); });
    reader.Section(object, "bounds", [&](ConfigObject& o) { ReadBounds(o, config.table); });
    reader.Section(object, "retry_budget",
                   [&](ConfigObject& o) { ReadRetryBudget(o, config.table.retry_budget); });
    reader.Section(object, "defaults",
                   [&](ConfigObject& o) { ReadHealth(reader, o, config.table.defaults); });
    reader.EachOf(object, "providers", "provider",
                  [&](ConfigObject& o) { ReadProvider(reader, o, config.table); });
  }
  if (!errors.IsEmpty()) return errors.Status();
  return config;
}

absl::StatusOr<Config> ReadConfig(const std::string& path) {
  const auto root = common::ReadConfigFile(path);
  if (!root.ok()) return root.status();
  return ParseConfig(*root, common::SystemConfigEnvironment());
}

std::vector<std::string_view> FixedDifferences(const Config& current, const Config& next) {
  std::vector<std::string_view> keys;
  if (current.listen != next.listen) keys.push_back("listen");
  if (current.tls != next.tls) keys.push_back("tls");
  if (current.admin_service != next.admin_service) keys.push_back("admin_service");
  if (current.admin != next.admin) keys.push_back("admin");
  if (current.threads != next.threads) keys.push_back("threads");
  if (current.drain != next.drain) keys.push_back("drain");
  if (current.log_level != next.log_level) keys.push_back("log_level");
  if (current.store != next.store) keys.push_back("store");
  if (current.table.max_targets != next.table.max_targets) keys.push_back("bounds.targets");
  if (current.table.max_reporters != next.table.max_reporters) keys.push_back("bounds.reporters");
  return keys;
}

}  // namespace ratelimitd
