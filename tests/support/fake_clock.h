// A clock that stands still until a test moves it. Not thread-safe.
#pragma once

#include "common/clock.h"

namespace candor_test {

class FakeClock final : public common::Clock {
 public:
  common::MonotonicTime Monotonic() const override { return monotonic_; }
  common::WallTime Wall() const override { return wall_; }

  // Time passes on both clocks.
  void Advance(std::chrono::nanoseconds step) {
    monotonic_ += step;
    wall_ += std::chrono::duration_cast<common::WallTime::duration>(step);
  }
  // Somebody sets the wall clock; no time passes.
  void StepWall(std::chrono::nanoseconds step) {
    wall_ += std::chrono::duration_cast<common::WallTime::duration>(step);
  }

 private:
  common::MonotonicTime monotonic_{std::chrono::hours(1)};
  common::WallTime wall_{std::chrono::seconds(1'790'000'000)};
};

}  // namespace candor_test
