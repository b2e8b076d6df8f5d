// The limits of the gateways' clients: by name, for asks, and by the number that a token brings
// back. Bounded; clients that never had limits are not kept. Not thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ratelimitd/core/limits.h"
#include "ratelimitd/core/name_map.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

class ClientLimits {
 public:
  // The limits of `name` from now on; no name has none. When `max_clients` are known already, idle
  // ones make room; a new one that finds none is not limited. `new_id` becomes its number and must
  // be new.
  void Learn(std::string_view name, const LimitSettings& limits, size_t max_clients,
             uint64_t new_id, MonotonicTime now);

  // Admits clients that are not known.
  Breaker::View Look(std::string_view name, int64_t cost_tokens, MonotonicTime now);
  bool Knows(std::string_view name) const { return Find(name) != nullptr; }
  // Commits an admission. Returns the client's number; 0: it is not known.
  uint64_t Take(std::string_view name, const LimitCost& cost, const Limits::Lease& lease,
                MonotonicTime now);
  // Nothing: it is not known, or has no limits any more.
  std::optional<LimitStatus> Status(std::string_view name, MonotonicTime now) const;
  // An attempt of the client with this number is over; one that is forgotten owes nothing.
  void Settle(uint64_t id, uint64_t lease_id, int64_t more_tokens, MonotonicTime now);
  void OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end);

  // --- For replicas that share them ---
  // Null: not known. Valid until the next Learn.
  Limits* LimitsOf(std::string_view name);
  const Limits* LimitsOf(std::string_view name) const;
  // Empty: not known.
  std::string_view NameOf(uint64_t id) const;
  std::vector<std::string> Names() const;
  // The clients whose limits may have changed since the last call.
  std::vector<std::string> TakeTouched();

 private:
  struct Client {
    std::string name;
    uint64_t id = 0;
    bool is_touched = false;
    LimitSettings settings;
    Limits limits;
  };
  Client* Find(std::string_view name) const;
  void ForgetIdle(MonotonicTime now);
  void Touch(Client& client);

  NameMap<std::unique_ptr<Client>> clients_;
  absl::flat_hash_map<uint64_t, Client*> by_id_;
  std::vector<std::string> touched_;  // names, since a client may be forgotten before
};

}  // namespace ratelimitd
