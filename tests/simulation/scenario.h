// What one run is made of, drawn from its seed: the fleet, the providers, how often what breaks.
// A test may change a field afterwards. A mean of 0 switches a fault off.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "common/target.h"
#include "ratelimitd/core/settings.h"

namespace simulation {

using std::chrono::milliseconds;

// How a gateway talks to ratelimitd: our own by a session, other languages by single calls, which
// overtake each other.
enum class Speech : uint8_t { kSession, kUnary };

// What a crash of ratelimitd leaves of its store. kShared: a Redis, which several replicas have in
// common.
enum class StoreKind : uint8_t { kMemory, kDurable, kShared };

struct ProviderSpec {
  std::string name;
  std::vector<std::string> models;
};

// One that no gateway knows, with limits where there is a client with limits.
inline constexpr char kLimitedProvider[] = "limited";

struct Scenario {
  uint64_t seed = 0;
  ratelimitd::TableSettings settings;
  StoreKind store = StoreKind::kDurable;
  int replicas = 1;  // of ratelimitd; several only on a shared store
  std::vector<ProviderSpec> providers;
  std::vector<std::vector<common::Target>> routes;
  std::vector<Speech> hosts;  // one gateway each
  int threads = 1;            // reporters of each host

  // Everything breaks in the first phase and is whole in the second.
  milliseconds trouble = std::chrono::minutes(4);
  milliseconds calm = std::chrono::minutes(80);

  milliseconds request_every{1000};  // of one reporter
  milliseconds burst_every{0};       // ten requests of one reporter in one moment
  milliseconds hot_every{0};         // twenty seconds of many requests for one route, by everybody
  milliseconds outage_every{0};      // a provider or a target gets another mode
  milliseconds cut_every{0};         // a connection breaks
  milliseconds stall_every{0};       // a connection swallows everything before it is found broken
  milliseconds death_every{0};       // a gateway dies, permits and all
  milliseconds restart_every{0};     // of ratelimitd
  milliseconds store_outage_every{0};
  milliseconds clock_step_every{0};   // of the wall clock
  milliseconds link_cut_every{0};     // one replica does not reach the store for a while
  milliseconds failover_every{0};     // the store is away, and comes back without its last second
  milliseconds flush_every{0};        // the store loses everything
  milliseconds pause_every{0};        // a replica does nothing for some seconds
  double lost_commit_share = 0;       // whose request or reply is lost, or which come late
  double conflict_share = 0;          // of commits between which and their reading others act
  milliseconds flood_every{0};        // many targets that nobody has heard of
  double flood_limited_share = 0.02;  // of them meet a rate limit, so that they must be remembered
  milliseconds replay_every{0};       // all reports of this life arrive once more
  milliseconds rotation_every{0};     // a provider's credential is changed
  milliseconds operator_every{0};     // an operator does something by hand
  milliseconds client_every{0};       // a client with limits asks
  ratelimitd::LimitSettings client_limits;
  bool has_dead_egress = false;  // the first gateway reaches no provider at all
  double ghost_share = 0;        // of reports that also arrive a second time, much later

  bool IsFleet() const { return store == StoreKind::kShared; }
  bool HasFlood() const { return flood_every > milliseconds(0); }
};

// `replicas`: 0 leaves their number to the seed, otherwise it is this, with 1 on a store of its
// own.
Scenario DrawScenario(uint64_t seed, int replicas = 0);

}  // namespace simulation
