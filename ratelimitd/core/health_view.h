// What is known about providers and targets, as values: for people, dashboards and metrics.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ratelimitd/core/attempt.h"
#include "ratelimitd/core/health.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

// Where a provider's own limits stand.
struct LimitView {
  LimitSettings settings{};
  LimitStatus left{};
  int64_t running = 0;  // requests, where their number is limited
};

struct OverrideView {
  OverrideMode mode = OverrideMode::kNone;
  MonotonicTime began;
  HealthState learned_state = HealthState::kHealthy;  // what it would be without
  uint64_t overruled = 0;  // admissions against the facts, counted by this process
};

// One key for people and dashboards.
struct HealthView {
  std::string provider;
  std::string model;  // empty: the provider itself
  HealthState state = HealthState::kHealthy;
  std::optional<MonotonicTime> since{};
  std::optional<MonotonicTime> until{};
  Cause cause{};
  WindowCounts window{};
  int probes_out = 0;
  std::vector<Transition> history{};
  std::optional<LimitView> limits{};     // of a provider that has some
  std::optional<OverrideView> ruling{};  // an operator's, while it is in force
  uint64_t version = 0;
};

// The part of the table that people should see first. A target counts as being in the more serious
// state of its own and its provider's, and a provider without targets as one.
struct TableExcerpt {
  std::vector<HealthView> views{};  // in no particular order; beside every target its provider
  std::array<size_t, kHealthStates> targets_by_state{};  // of all that match
  size_t targets_left_out = 0;
  size_t providers = 0;  // that match or have a target that does
  uint64_t version = 0;
};

// Whether a provider may be asked at all.
enum class Askable : uint8_t { kYes, kNo };

// A provider, with the most serious state of its own and of its targets.
struct ProviderState {
  std::string provider;
  HealthState state = HealthState::kHealthy;
};

struct TableStats {
  size_t targets = 0;
  size_t providers = 0;
  size_t reporters = 0;
  uint64_t evicted = 0;
  uint64_t not_remembered = 0;  // admissions of new targets while the table was full of facts
  std::array<size_t, kHealthStates> targets_by_state{};
  std::array<size_t, kOverrideModes> overrides_by_mode{};
  std::vector<ProviderState> provider_states{};  // in no particular order
};

}  // namespace ratelimitd
