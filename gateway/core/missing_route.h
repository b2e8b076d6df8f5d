// Remembers for a while that a provider has no such route, so that not every request finds out
// anew. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>

#include "common/clock.h"

namespace gateway {

class MissingRoute {
 public:
  // Providers learn new routes, seldom.
  static constexpr std::chrono::minutes kRemembered{10};

  void Learn(common::MonotonicTime now) { until_.store(now + kRemembered); }
  bool IsKnown(common::MonotonicTime now) const { return now < until_.load(); }

 private:
  std::atomic<common::MonotonicTime> until_{common::MonotonicTime::min()};
};

}  // namespace gateway
