// What the simulated ratelimitd, alone or in a fleet, have in common: a clock of their own, and the
// messages as the auditor must know them. Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "tests/simulation/auditor.h"
#include "tests/simulation/network.h"

namespace simulation {

inline constexpr nanoseconds kClockSteps[] = {std::chrono::hours(1), -std::chrono::hours(1),
                                              std::chrono::hours(24 * 365),
                                              -std::chrono::hours(24 * 365)};

// Each process has a monotonic clock of its own, as after a reboot, and believes in some date.
class ProcessClock final : public common::Clock {
 public:
  ProcessClock(const common::Clock& clock, nanoseconds offset, nanoseconds date_error = {})
      : clock_(clock), offset_(offset), date_error_(date_error) {}
  MonotonicTime Monotonic() const override { return clock_.Monotonic() + offset_; }
  common::WallTime Wall() const override {
    return clock_.Wall() + std::chrono::duration_cast<common::WallTime::duration>(date_error_);
  }

 private:
  const common::Clock& clock_;
  nanoseconds offset_;
  nanoseconds date_error_;
};

std::vector<ratelimitd::TargetName> NamesOf(const std::vector<common::Target>& targets);
// The verdict of a single call, as the caller reads it.
Verdict ParseVerdict(const pb::Verdict& message);
AskFacts FactsOf(const Connection& connection, const pb::Ask& ask, const Scenario& scenario,
                 MonotonicTime now);
// The key as the table shows it at `moment`; the table's clock is `ahead` of the simulation's.
// Nothing: the table does not know it.
std::optional<Look> LookInto(ratelimitd::TargetTable& table, const common::Target& key,
                             const ratelimitd::Moment& moment, nanoseconds ahead);

}  // namespace simulation
