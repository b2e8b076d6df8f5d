// Arithmetic of waits: pure functions of settings and chance, saturating instead of overflowing.
#pragma once

#include <chrono>

#include "common/clock.h"

namespace ratelimitd {

using common::MonotonicTime;
using std::chrono::milliseconds;

// `first` times `factor` to the power of `times`, at most `limit`. `times` < 0 counts as 0.
milliseconds Escalate(milliseconds first, int factor, int times, milliseconds limit);

// `length` times a factor in [lowest, highest), by `chance` in [0, 1).
milliseconds Jitter(milliseconds length, double lowest, double highest, double chance);

// `count` less one for each whole minute between `since` and `now`, at least 0.
int DecayPerMinute(int count, MonotonicTime since, MonotonicTime now);

// What a refused caller is told: the wait until `until`, at least 1 ms, plus up to a tenth of it
// (10 ms to 1 s) by chance, so that a fleet does not come back in the same millisecond.
milliseconds SpreadWait(MonotonicTime until, MonotonicTime now, double chance);

}  // namespace ratelimitd
