#include "ratelimitd/core/delay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

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

// Whatever the arguments: each is compared with its neighbour, which must not be better off.
TEST(DelayTest, EscalateNeverFallsNeverExceedsTheLimitAndAtMostMultipliesByTheFactor) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const milliseconds first(1 + static_cast<int64_t>(random() % 10'000'000));
    const milliseconds limit(1 + static_cast<int64_t>(random() % 100'000'000));
    const int factor = 2 + static_cast<int>(random() % 8);
    const int times = static_cast<int>(random() % 40);
    const milliseconds length = Escalate(first, factor, times, limit);
    const milliseconds next = Escalate(first, factor, times + 1, limit);
    ASSERT_LE(length, limit);
    ASSERT_GE(length, std::min(first, limit));
    ASSERT_GE(next, length);
    ASSERT_LE(next, length * factor);
    ASSERT_TRUE(next == limit || next == length * factor) << first.count() << " times " << times;
  }
}

TEST(DelayTest, JitterGrowsWithChanceAndWithLength) {
  std::mt19937_64 random(2);
  const auto share = [&random] { return static_cast<double>(random() % 1000) / 1000; };
  for (int i = 0; i < 20'000; ++i) {
    const milliseconds length(static_cast<int64_t>(random() % 1'000'000'000));
    const double low = share(), high = share();
    ASSERT_LE(Jitter(length, 0.75, 1.25, std::min(low, high)),
              Jitter(length, 0.75, 1.25, std::max(low, high)));
    ASSERT_LE(Jitter(length, 1.0, 1.2, low), Jitter(length * 2, 1.0, 1.2, low));
    ASSERT_GE(Jitter(length, 1.0, 1.2, low), length) << "never earlier than asked";
  }
}

TEST(DelayTest, DecayNeverRisesAndWaitingTwiceIsWaitingOnce) {
  std::mt19937_64 random(3);
  const MonotonicTime start{1h};
  for (int i = 0; i < 20'000; ++i) {
    const int count = static_cast<int>(random() % 20);
    const auto minutes = [&random] { return std::chrono::minutes(random() % 30); };
    const MonotonicTime middle = start + minutes();
    const MonotonicTime end = middle + minutes();
    const int decayed = DecayPerMinute(count, start, middle);
    ASSERT_LE(decayed, count);
    ASSERT_GE(decayed, 0);
    ASSERT_EQ(DecayPerMinute(decayed, middle, end), DecayPerMinute(count, start, end));
  }
}

TEST(DelayTest, SpreadWaitNeverEndsBeforeTheDeadlineWhateverTheTimes) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 20'000; ++i) {
    const MonotonicTime now{std::chrono::nanoseconds(random() % 1'000'000'000'000)};
    const MonotonicTime until = now + std::chrono::nanoseconds(random() % 1'000'000'000'000);
    const double chance = static_cast<double>(random() % 1000) / 1000;
    const milliseconds told = SpreadWait(until, now, chance);
    ASSERT_GE(now + told, until);
    ASSERT_LE(now + told, until + 1s + 1ms);
    ASSERT_GE(SpreadWait(until, now, 0.999), told);
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
