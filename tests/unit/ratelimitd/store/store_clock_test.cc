#include "ratelimitd/store/store_clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace {

using namespace ratelimitd;
using namespace std::chrono_literals;
using std::chrono::microseconds;

constexpr microseconds kYear = 365 * 24h;

// A store whose clock is set now and then, and a replica that reads it every second.
class StoreClockTest : public testing::Test {
 protected:
  StoreClockTest() { clock_.Note(now_ - 3h, now_); }

  void Wait(std::chrono::seconds length) {
    for (int i = 0; i < length.count(); ++i) {
      now_ += 1s;
      clock_.Note(now_, now_);
    }
  }
  // Returns what the replica is told.
  microseconds Set(microseconds step) {
    const MonotonicTime estimate = now_ + 500ms;
    now_ = estimate + step;
    return clock_.Note(estimate, now_);
  }

  StoreClock clock_;
  MonotonicTime now_{10 * 365 * 24h};
};

TEST_F(StoreClockTest, TheFirstTimeIsNoStepOfTheStore) {
  StoreClock clock;
  EXPECT_EQ(clock.Note(now_ - kYear, now_), kYear);
  EXPECT_EQ(clock.ShiftSince(now_ - 1min), 0us);
}

TEST_F(StoreClockTest, SmallDifferencesAreNone) {
  Wait(10s);
  EXPECT_EQ(Set(-999ms), 0us);
  EXPECT_EQ(clock_.ShiftSince(now_ - 5s), 0us);
}

TEST_F(StoreClockTest, WhatWasWrittenBeforeAStepIsMovedByIt) {
  for (const microseconds step : {microseconds(-kYear), microseconds(-1h), kYear}) {
    SCOPED_TRACE(step.count());
    Wait(60s);
    const MonotonicTime before = now_ - 30s;
    EXPECT_EQ(Set(step), step);
    Wait(20s);
    EXPECT_EQ(clock_.ShiftSince(before), step);
    EXPECT_EQ(clock_.ShiftSince(now_ - 10s), 0us);
    EXPECT_EQ(clock_.ShiftSince(now_), 0us);
  }
}

TEST_F(StoreClockTest, StepsAddUp) {
  const std::vector<std::vector<microseconds>> steps = {
      {kYear, -kYear}, {-kYear, kYear}, {-kYear, -1h}, {-1h, -kYear}, {1h, kYear}, {kYear, -1h}};
  for (const auto& two : steps) {
    SCOPED_TRACE(testing::Message() << two[0].count() << " " << two[1].count());
    Wait(60s);
    const MonotonicTime first = now_ - 30s;
    Set(two[0]);
    Wait(60s);
    const MonotonicTime second = now_ - 30s;
    Set(two[1]);
    Wait(60s);
    EXPECT_EQ(clock_.ShiftSince(first), two[0] + two[1]);
    EXPECT_EQ(clock_.ShiftSince(second), two[1]);
    EXPECT_EQ(clock_.ShiftSince(now_ - 30s), 0us);
  }
}

TEST_F(StoreClockTest, WhatIsFromTheFutureAllTheSameIsFromNow) {
  EXPECT_EQ(clock_.ShiftSince(now_ + 900ms), 0us);
  EXPECT_EQ(clock_.ShiftSince(now_ + 1h), microseconds(-1h));
}

}  // namespace
