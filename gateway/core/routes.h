// A model's name to the ordered targets that serve it, and which client may use it. Built once from
// the configuration, then immutable and thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/target.h"
#include "gateway/core/client_limits.h"

namespace gateway {

struct RouteTarget {
  common::Target target;
  size_t provider_index = 0;  // into the configuration's providers
  int64_t priority = 0;       // lower is tried first
  int64_t weight = 0;         // 0: keeps its place; else shares the load with its equals
};

struct Route {
  std::string model;
  std::vector<RouteTarget> targets;  // sorted by priority, then as written
};

// The order in which one request tries the targets: by priority; within one priority weighted
// targets are drawn without replacement, heavier ones earlier on average. `chance` in [0, 1)
// decides the draw.
std::vector<const RouteTarget*> OrderTargets(const Route& route, double chance);

// Matches '*' (any run) and '?' (one character); everything else is itself.
bool MatchesGlob(std::string_view pattern, std::string_view text);

using KeyHash = std::array<uint8_t, 32>;  // SHA-256

struct ClientEntry {
  std::string name;
  KeyHash key_sha256{};
  std::vector<std::string> models;  // globs; empty: every model
  ClientLimits limits;
};

// Whether `client` may use `model`.
bool MayUse(const ClientEntry& client, std::string_view model);

KeyHash HashKey(std::string_view key);
// 64 hexadecimal digits; nothing when `text` is anything else.
std::optional<KeyHash> ParseKeyHash(std::string_view text);

class Routes {
 public:
  Routes() = default;
  Routes(std::vector<Route> routes, std::vector<ClientEntry> clients);

  // nullptr: unknown.
  const Route* Find(std::string_view model) const;
  const std::vector<Route>& all() const { return routes_; }

  // Whether no client is configured: everyone may call.
  bool IsOpen() const { return clients_.empty(); }
  const std::vector<ClientEntry>& clients() const { return clients_; }
  // nullptr: no client has this key.
  const ClientEntry* Authenticate(std::string_view key) const;

 private:
  std::vector<Route> routes_;
  absl::flat_hash_map<std::string, size_t> by_model_;
  std::vector<ClientEntry> clients_;
  absl::flat_hash_map<KeyHash, size_t> by_key_;
};

}  // namespace gateway
