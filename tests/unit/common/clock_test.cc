#include "common/clock.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace common {
namespace {

TEST(ClockTest, MonotonicTimeNeverRunsBackwards) {
  SystemClock clock;
  const MonotonicTime before = clock.Monotonic();
  EXPECT_LE(before, clock.Monotonic());
}

TEST(FakeClockTest, SteppingTheWallLeavesIntervalsAlone) {
  candor_test::FakeClock clock;
  const MonotonicTime before = clock.Monotonic();
  const WallTime wall = clock.Wall();
  clock.StepWall(std::chrono::hours(-1));
  EXPECT_EQ(clock.Monotonic(), before);
  EXPECT_EQ(clock.Wall(), wall - std::chrono::hours(1));
}

}  // namespace
}  // namespace common
