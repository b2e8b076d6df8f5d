#include "ratelimitd/store/store_clock.h"

namespace ratelimitd {

using std::chrono::microseconds;

microseconds StoreClock::Note(MonotonicTime estimate, MonotonicTime now) {
  auto step = std::chrono::duration_cast<microseconds>(now - estimate);
  if (std::chrono::abs(step) < kTolerance) step = microseconds(0);
  if (epochs_.empty()) {
    epochs_.push_back({.begin = MonotonicTime::min(), .end = now});
    return step;
  }
  if (step != microseconds(0)) {
    Epoch& last = epochs_.back();
    // The clock may have been set at any time since it was last read.
    const MonotonicTime begin = last.end + step - kTolerance;
    last.end = estimate;
    last.step = step;
    epochs_.push_back({.begin = begin, .end = now});
    if (epochs_.size() > kMaxEpochs) epochs_.pop_front();
  }
  epochs_.back().end = now;
  return step;
}

microseconds StoreClock::ShiftSince(MonotonicTime written_at) const {
  microseconds shift{0};
  // The latest epoch in which it can have been written.
  for (auto epoch = epochs_.rbegin(); epoch != epochs_.rend(); ++epoch) {
    shift += epoch->step;
    if (written_at >= epoch->begin && written_at <= epoch->end + kTolerance) return shift;
  }
  if (epochs_.empty() || written_at <= epochs_.back().end + kTolerance) return microseconds(0);
  return std::chrono::duration_cast<microseconds>(epochs_.back().end - written_at);
}

}  // namespace ratelimitd
