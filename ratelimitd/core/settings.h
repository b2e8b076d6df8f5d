// Every knob of the state machine. Numbers are defaults; deploy/config/ratelimitd.yaml explains
// them to operators. Plain values: copied, never shared.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ratelimitd/core/name_map.h"

namespace ratelimitd {

using std::chrono::milliseconds;

struct BackoffSettings {
  milliseconds initial = std::chrono::seconds(1);   // first wait when the provider names no figure
  milliseconds max = std::chrono::seconds(60);      // such waits double up to this
  milliseconds ceiling = std::chrono::minutes(15);  // the longest figure of a provider we obey
  bool operator==(const BackoffSettings&) const = default;
};

struct BreakerSettings {
  milliseconds window = std::chrono::seconds(60);  // calls older than this are forgotten
  int min_calls = 10;                              // fewer calls in the window never trip by rate
  double failure_rate = 0.5;                       // failed share of the window that trips
  int consecutive = 5;                             // failures in a row that trip
  milliseconds lump{100};  // failures of one reporter within this count once in a row
  int quorum = 2;          // hosts that must find a provider unreachable (or all, if fewer live)
  milliseconds open = std::chrono::seconds(5);  // first opening; doubles with each further one
  milliseconds open_max = std::chrono::seconds(300);
  int probes = 1;           // probes in flight while half-open, fleet-wide
  int probe_successes = 2;  // successful probes that close
  milliseconds probe_lease = std::chrono::seconds(30);  // a silent probe is given up after this
  milliseconds ramp = std::chrono::seconds(30);  // from a tenth to the whole rate before the trip
  bool operator==(const BreakerSettings&) const = default;
};

struct BlockSettings {
  milliseconds quota =
      std::chrono::minutes(15);  // first quota block without a stated reset; times 4
  milliseconds quota_max = std::chrono::hours(24);
  milliseconds auth = std::chrono::hours(1);
  bool operator==(const BlockSettings&) const = default;
};

// 0 means unlimited.
struct LimitSettings {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t concurrent = 0;

  bool IsUnlimited() const { return *this == LimitSettings(); }
  bool operator==(const LimitSettings&) const = default;
};

struct HealthSettings {
  BackoffSettings backoff;
  BreakerSettings breaker;
  BlockSettings block;
  LimitSettings limits;
  bool operator==(const HealthSettings&) const = default;
};

// Further attempts of all requests together, within ten seconds.
struct RetryBudgetSettings {
  double ratio = 0.2;          // of the requests admitted
  int64_t min_per_second = 3;  // allowed however few requests there are
  bool operator==(const RetryBudgetSettings&) const = default;
};

struct TableSettings {
  HealthSettings defaults{};
  RetryBudgetSettings retry_budget{};
  NameMap<HealthSettings> providers{};  // complete, not a difference
  // Targets remembered; beyond it the least recently asked one without facts makes room, and when
  // all have facts a new one is admitted without being remembered.
  size_t max_targets = 20000;
  // Reporters whose sequence numbers are remembered; those with a session are never forgotten.
  size_t max_reporters = 4096;
  // Clients whose limits are kept; further ones are not limited here.
  size_t max_clients = 4096;

  const HealthSettings& For(std::string_view provider) const {
    const auto found = providers.find(provider);
    return found == providers.end() ? defaults : found->second;
  }
  bool operator==(const TableSettings&) const = default;
};

}  // namespace ratelimitd
