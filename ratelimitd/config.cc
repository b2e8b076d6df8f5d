#include "ratelimitd/config.h"

#include "common/config_document.h"

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

void ReadStore(ConfigObject& object, StoreConfig& store) {
  size_t kind = store.kind == StoreConfig::Kind::kSqlite ? 0 : 1;
  object.ReadChoice("kind", {"sqlite", "memory"}, kind);
  store.kind = kind == 0 ? StoreConfig::Kind::kSqlite : StoreConfig::Kind::kMemory;
  object.ReadString("path", store.path);
  if (store.kind == StoreConfig::Kind::kMemory && object.Has("path")) {
    object.Complain("path", "only the sqlite store has a path");
  }
  if (store.path.empty()) object.Complain("path", "must not be empty");
}

void ReadProvider(SectionReader& reader, ConfigObject& object, TableSettings& table) {
  std::string name;
  object.Require("name");
  object.ReadString("name", name);
  HealthSettings health = table.defaults;
  ReadHealth(reader, object, health);
  if (name.size() > 256) object.Complain("name", "must have at most 256 bytes");
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

}  // namespace

absl::StatusOr<Config> ParseConfig(const ConfigNode& root, const ConfigEnvironment& environment) {
  Config config;
  ConfigErrors errors;
  {
    SectionReader reader(environment, errors);
    ConfigObject object(root, "ratelimitd", environment, errors);
    object.ReadString("listen", config.listen);
    object.ReadString("admin", config.admin);
    int64_t threads = config.threads;
    object.ReadInt("threads", threads, {0, 256});
    config.threads = static_cast<int>(threads);
    object.ReadDuration("drain", config.drain, {milliseconds(0), std::chrono::minutes(10)});
    auto level = static_cast<size_t>(config.log_level);
    object.ReadChoice("log_level", {"debug", "info", "warning", "error"}, level);
    config.log_level = static_cast<common::LogLevel>(level);
    reader.Section(object, "store", [&](ConfigObject& o) { ReadStore(o, config.store); });
    reader.Section(object, "bounds", [&](ConfigObject& o) { ReadBounds(o, config.table); });
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

bool NeedsRestart(const Config& current, const Config& next) {
  return current.listen != next.listen || current.admin != next.admin ||
         current.threads != next.threads || current.store != next.store ||
         current.log_level != next.log_level ||
         current.table.max_targets != next.table.max_targets ||
         current.table.max_reporters != next.table.max_reporters;
}

}  // namespace ratelimitd
