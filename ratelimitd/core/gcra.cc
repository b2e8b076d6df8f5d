#include "ratelimitd/core/gcra.h"

#include <algorithm>

namespace ratelimitd {
namespace {

constexpr std::chrono::nanoseconds kBurst = std::chrono::minutes(1);
constexpr std::chrono::nanoseconds kMostOwed = std::chrono::hours(1);

// The time in which `cost` trickles back.
std::chrono::nanoseconds TimeOf(int64_t cost, int64_t per_minute) {
  const double minutes = static_cast<double>(cost) / static_cast<double>(per_minute);
  return std::chrono::nanoseconds(
      static_cast<int64_t>(std::clamp(minutes, -60.0, 60.0) * static_cast<double>(kBurst.count())));
}

}  // namespace

MonotonicTime Gcra::ReadyAt(int64_t per_minute, int64_t cost, MonotonicTime now) const {
  if (per_minute <= 0 || paid_until_ <= now) return now;
  return paid_until_ + std::min(TimeOf(cost, per_minute), kBurst) - kBurst;
}

int64_t Gcra::Remaining(int64_t per_minute, MonotonicTime now) const {
  const double free = 1 - static_cast<double>(UntilFull(now).count()) / kBurst.count();
  // Nanoseconds are cut off when a cost becomes time; that must not cost a whole unit here.
  return std::max<int64_t>(0, static_cast<int64_t>(free * static_cast<double>(per_minute) + 1e-6));
}

std::chrono::nanoseconds Gcra::UntilFull(MonotonicTime now) const {
  return std::max<std::chrono::nanoseconds>(paid_until_ - now, std::chrono::nanoseconds(0));
}

void Gcra::Take(int64_t per_minute, int64_t cost, MonotonicTime now) {
  if (per_minute <= 0) return;
  const MonotonicTime from = std::max(paid_until_, now);
  paid_until_ = std::min(from + TimeOf(cost, per_minute), now + kMostOwed);
}

}  // namespace ratelimitd
