#include "ratelimitd/core/retry_budget.h"

#include <algorithm>

namespace ratelimitd {

MonotonicTime RetryBudget::NextRetry(const RetryBudgetSettings& settings, MonotonicTime now) const {
  const int64_t newest = NumberOf(now);
  for (int64_t passed = 0; passed <= kWindow.count(); ++passed) {
    if (!HasRoom(settings, newest - kWindow.count() + 1 + passed, newest)) continue;
    return passed == 0 ? now : MonotonicTime(std::chrono::seconds(newest + passed));
  }
  return now + kWindow;
}

// Whether one more fits when only what was granted in these seconds counts.
bool RetryBudget::HasRoom(const RetryBudgetSettings& settings, int64_t oldest,
                          int64_t newest) const {
  int64_t requests = 0;
  int64_t retries = 0;
  for (const Second& second : seconds_) {
    if (second.number < oldest || second.number > newest) continue;
    requests += second.requests;
    retries += second.retries;
  }
  const double share = settings.ratio * static_cast<double>(requests);
  const auto least = static_cast<double>(settings.min_per_second * kWindow.count());
  return static_cast<double>(retries + 1) <= std::max(share, least);
}

RetryBudget::Second& RetryBudget::At(MonotonicTime now) {
  const int64_t number = NumberOf(now);
  Second& second = seconds_[static_cast<size_t>(number % kWindow.count())];
  if (second.number != number) second = {.number = number};
  return second;
}

}  // namespace ratelimitd
