#include "common/clock.h"

namespace common {

MonotonicTime SystemClock::Monotonic() const { return std::chrono::steady_clock::now(); }

WallTime SystemClock::Wall() const { return std::chrono::system_clock::now(); }

}  // namespace common
