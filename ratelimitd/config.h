// The configuration file of ratelimitd; deploy/config/ratelimitd.yaml explains every knob.
// Immutable once read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/config_reader.h"
#include "common/log.h"
#include "common/tls_files.h"
#include "ratelimitd/core/settings.h"
#include "ratelimitd/store/redis_settings.h"

namespace ratelimitd {

struct StoreConfig {
  enum class Kind { kSqlite, kMemory, kRedis };
  Kind kind = Kind::kSqlite;
  std::string path = "/var/lib/candor/state.db";  // sqlite only
  RedisSettings redis;                            // redis only
  bool operator==(const StoreConfig&) const = default;
};

// Who may do what AdminService can.
struct AdminServiceConfig {
  bool is_on = false;
  std::string listen;                     // of its own; empty: the gateways' listener
  common::TlsPaths tls;                   // of a listener of its own
  std::vector<std::string> client_names;  // empty: whoever reaches the listener
  bool operator==(const AdminServiceConfig&) const = default;
};

struct Config {
  std::string listen = "127.0.0.1:50051";
  common::TlsPaths tls;  // of that listener; no cert_file: plain text
  AdminServiceConfig admin_service;
  std::string admin = "127.0.0.1:9091";
  int threads = 0;                               // that serve gRPC; 0: one for every four CPUs
  milliseconds drain = std::chrono::seconds(2);  // between not ready and the end of sessions
  common::LogLevel log_level = common::LogLevel::kInfo;
  StoreConfig store;
  TableSettings table;
  bool operator==(const Config&) const = default;
};

// InvalidArgument: one complaint a line, each "file:line:column: text".
absl::StatusOr<Config> ParseConfig(const common::ConfigNode& root,
                                   const common::ConfigEnvironment& environment);

// Reads and parses; also NotFound and PermissionDenied, which name the path.
absl::StatusOr<Config> ReadConfig(const std::string& path);

// `config` in YAML, every knob named. Parses back to the same value, but for secrets: of those only
// a comment says that there is one.
std::string RenderConfig(const Config& config);

// The keys in which `next` differs from `current` and which only a restart changes.
std::vector<std::string_view> FixedDifferences(const Config& current, const Config& next);

}  // namespace ratelimitd
