#include "ratelimitd/core/delay.h"

#include <algorithm>
#include <cstdint>

namespace ratelimitd {

milliseconds Escalate(milliseconds first, int factor, int times, milliseconds limit) {
  milliseconds length = std::min(first, limit);
  for (int i = 0; i < times && length < limit; ++i) {
    length = length > limit / factor ? limit : length * factor;
  }
  return length;
}

milliseconds Jitter(milliseconds length, double lowest, double highest, double chance) {
  const double factor = lowest + (highest - lowest) * chance;
  return milliseconds(static_cast<int64_t>(static_cast<double>(length.count()) * factor));
}

int DecayPerMinute(int count, MonotonicTime since, MonotonicTime now) {
  if (now <= since) return count;
  const int64_t minutes = std::chrono::duration_cast<std::chrono::minutes>(now - since).count();
  return minutes >= count ? 0 : count - static_cast<int>(minutes);
}

milliseconds SpreadWait(MonotonicTime until, MonotonicTime now, double chance) {
  using std::chrono::ceil;
  const milliseconds wait = std::max(milliseconds(1), ceil<milliseconds>(until - now));
  const milliseconds spread = std::clamp(wait / 10, milliseconds(10), milliseconds(1000));
  return wait + milliseconds(static_cast<int64_t>(static_cast<double>(spread.count()) * chance));
}

}  // namespace ratelimitd
