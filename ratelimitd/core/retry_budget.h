// How many further attempts the fleet may make, so that fallback never multiplies an outage: within
// the last ten seconds at most a share of the requests admitted, but always some a second. Counted
// over everything that one ratelimitd is asked, whatever the client, model or provider. Pure; not
// thread-safe.
//
// Of several ratelimitd that share a store each counts the asks it sees itself: the share holds for
// all of them together, the minimum for each. What a replica decides again after a conflict in the
// store counts again.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "common/clock.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

using common::MonotonicTime;

class RetryBudget {
 public:
  static constexpr std::chrono::seconds kWindow{10};

  // `now`: a further attempt may be made. Else when it may, if nothing else is asked until then;
  // where the settings allow none at all, one window from now.
  MonotonicTime NextRetry(const RetryBudgetSettings& settings, MonotonicTime now) const;

  // One was granted.
  void CountRequest(MonotonicTime now) { ++At(now).requests; }
  void CountRetry(MonotonicTime now) { ++At(now).retries; }

 private:
  // What was granted within one second, by the number of that second.
  struct Second {
    int64_t number = 0;
    int64_t requests = 0;
    int64_t retries = 0;
  };

  static int64_t NumberOf(MonotonicTime time) {
    return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
  }
  Second& At(MonotonicTime now);
  bool HasRoom(const RetryBudgetSettings& settings, int64_t oldest, int64_t newest) const;

  std::array<Second, kWindow.count()> seconds_{};
};

}  // namespace ratelimitd
