// One run: builds the world of a scenario, lets everything break, heals it, and has the auditor
// judge all of it. Deterministic: a scenario gives the same trace each time.
#pragma once

#include <cstdint>
#include <optional>

#include "tests/simulation/breaker_watch.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/trace.h"

namespace simulation {

struct Outcome {
  std::optional<Finding> finding;  // the first broken invariant
  MonotonicTime at;                // when it broke
  uint64_t trace_hash = 0;
  Turn messages = 0;  // handled by ratelimitd
  int lives = 0;      // of ratelimitd
};

Outcome Simulate(const Scenario& scenario, Trace::Printing printing = Trace::Printing::kNothing);

}  // namespace simulation
