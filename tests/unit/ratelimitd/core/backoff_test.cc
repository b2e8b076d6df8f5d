#include "ratelimitd/core/backoff.h"

#include <gtest/gtest.h>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr MonotonicTime kStart{1h};

class BackoffTest : public testing::Test {
 protected:
  // A 429 to an attempt that was admitted just now.
  bool Hit(std::optional<milliseconds> figure, milliseconds age = 0ms) {
    ++order_;
    return HitAdmittedAt(order_, figure, age);
  }
  bool HitAdmittedAt(Order admitted, std::optional<milliseconds> figure, milliseconds age = 0ms) {
    const Evidence evidence{
        .kind = OutcomeKind::kRateLimited, .happened_at = now_ - age, .order = admitted};
    return backoff_.Set(settings_, evidence, figure, {now_, chance_}, ++order_);
  }
  milliseconds Left() const { return std::chrono::ceil<milliseconds>(backoff_.until() - now_); }

  BackoffSettings settings_;
  Backoff backoff_;
  MonotonicTime now_ = kStart;
  Order order_ = 1;
  double chance_ = 0;
};

TEST_F(BackoffTest, FigureIsClampedAndNeverShortened) {
  constexpr milliseconds kYear = 24h * 365;
  struct {
    const char* name;
    std::optional<milliseconds> figure;
    milliseconds lowest;
    milliseconds highest;
  } cases[] = {{"plain", 20s, 20s, 24s},         {"zero", 0s, 1s, 1200ms},
               {"too long", 5h, 15min, 18min},   {"absent", std::nullopt, 750ms, 1250ms},
               {"negative", -5s, 750ms, 1250ms}, {"beyond a year", kYear + 1ms, 750ms, 1250ms}};
  for (const auto& c : cases) {
    for (const double chance : {0.0, 0.5, 0.999}) {
      SCOPED_TRACE(c.name);
      backoff_ = Backoff();
      chance_ = chance;
      EXPECT_TRUE(Hit(c.figure));
      EXPECT_GE(Left(), c.lowest);
      EXPECT_LE(Left(), c.highest);
    }
  }
}

TEST_F(BackoffTest, WithoutFigureDoublesToTheMaximum) {
  chance_ = 0.5;
  for (const milliseconds want :
       std::initializer_list<milliseconds>{1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    EXPECT_TRUE(Hit(std::nullopt));
    EXPECT_EQ(Left(), want);
    now_ = backoff_.until();
  }
}

// One minute is forgotten once, however many come too late to set a deadline.
TEST_F(BackoffTest, LateReportsDoNotMakeTheCountFallFaster) {
  for (int i = 0; i < 6; ++i) {
    Hit(std::nullopt);
    now_ = backoff_.until();
  }
  now_ += 2min;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(Hit(std::nullopt, 10min));
  EXPECT_EQ(backoff_.CountAt(now_), 4);
}

TEST_F(BackoffTest, CountFallsByOnePerCleanMinute) {
  chance_ = 0.5;
  for (int i = 0; i < 3; ++i) {
    Hit(std::nullopt);
    now_ = backoff_.until();
  }
  now_ += 2min;
  Hit(std::nullopt);
  EXPECT_EQ(Left(), 2s);
}

TEST_F(BackoffTest, BurstAdmittedBeforeCountsOnce) {
  chance_ = 0.5;
  const Order burst = ++order_;
  for (int i = 0; i < 50; ++i) HitAdmittedAt(burst, std::nullopt);
  EXPECT_EQ(Left(), 1s);
}

TEST_F(BackoffTest, DeadlineOnlyMovesLater) {
  Hit(60s);
  EXPECT_FALSE(Hit(5s));
  EXPECT_EQ(Left(), 60s);
  EXPECT_TRUE(Hit(90s));
  EXPECT_EQ(Left(), 90s);
}

TEST_F(BackoffTest, CountsFromWhenItHappened) {
  Hit(60s, 45s);
  EXPECT_EQ(Left(), 15s);
  backoff_ = Backoff();
  EXPECT_FALSE(Hit(60s, 2min)) << "its time is over";
}

TEST_F(BackoffTest, OnlyASuccessAdmittedAfterwardsClears) {
  const Order before = ++order_;
  Hit(60s);
  const Evidence unasked{.kind = OutcomeKind::kSuccess, .happened_at = now_ + 1s};
  EXPECT_FALSE(backoff_.ClearBy({.kind = OutcomeKind::kSuccess, .order = before}, now_));
  EXPECT_FALSE(backoff_.ClearBy(unasked, now_));
  EXPECT_TRUE(backoff_.ClearBy({.kind = OutcomeKind::kSuccess, .order = order_ + 1}, now_));
  EXPECT_FALSE(backoff_.IsActive(now_));
}

TEST_F(BackoffTest, ExplainsItself) {
  const Evidence evidence{.kind = OutcomeKind::kRateLimited,
                          .happened_at = now_,
                          .order = 2,
                          .reporter = "gw-1:0",
                          .http_status = 429,
                          .provider_code = "rate_limit_\nexceeded"};
  backoff_.Set(settings_, evidence, 20s, {now_, 0.9}, 3);
  EXPECT_EQ(backoff_.cause().why,
            "The provider answered HTTP 429, rate_limit_exceeded and asked to wait 20 s.");
  EXPECT_EQ(backoff_.cause().reporter, "gw-1:0");
}

}  // namespace
}  // namespace ratelimitd
