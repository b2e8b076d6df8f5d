#include "ratelimitd/core/delay.h"

#include <gtest/gtest.h>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

TEST(DelayTest, EscalateMultipliesUpToTheLimit) {
  struct {
    int factor;
    int times;
    milliseconds want;
  } cases[] = {{2, -1, 1s}, {2, 0, 1s},  {2, 1, 2s},  {2, 5, 32s},
               {2, 6, 60s}, {4, 2, 16s}, {4, 3, 60s}, {2, 1'000'000, 60s}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.times);
    EXPECT_EQ(Escalate(1s, c.factor, c.times, 60s), c.want);
  }
}

TEST(DelayTest, EscalateDoesNotOverflow) {
  const auto longest = milliseconds::max();
  EXPECT_EQ(Escalate(1h, 4, 1000, longest), longest);
}

TEST(DelayTest, JitterStaysWithinItsFactors) {
  for (double chance = 0; chance < 1; chance += 0.01) {
    const milliseconds length = Jitter(10s, 0.75, 1.25, chance);
    EXPECT_GE(length, 7500ms);
    EXPECT_LT(length, 12500ms);
  }
}

TEST(DelayTest, CountFallsByOnePerWholeMinute) {
  const MonotonicTime start{1h};
  EXPECT_EQ(DecayPerMinute(3, start, start - 1h), 3);
  EXPECT_EQ(DecayPerMinute(3, start, start + 59s), 3);
  EXPECT_EQ(DecayPerMinute(3, start, start + 60s), 2);
  EXPECT_EQ(DecayPerMinute(3, start, start + 1h), 0);
}

TEST(DelayTest, SpreadWaitIsNeverEarlierThanAskedAndAtMostATenthLater) {
  const MonotonicTime now{1h};
  for (const milliseconds wait : std::initializer_list<milliseconds>{1ms, 50ms, 1s, 20s, 15min}) {
    for (double chance = 0; chance < 1; chance += 0.1) {
      const milliseconds told = SpreadWait(now + wait, now, chance);
      EXPECT_GE(told, wait);
      EXPECT_LE(told, wait + std::max<milliseconds>(10ms, std::min<milliseconds>(1s, wait / 10)));
    }
  }
  EXPECT_GE(SpreadWait(now - 1s, now, 0), 1ms) << "a refused caller is never told zero";
}

}  // namespace
}  // namespace ratelimitd
