#include "ratelimitd/core/retry_budget.h"

#include <gtest/gtest.h>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

// Counts further attempts until the budget has no room for one.
int UseUp(RetryBudget& budget, const RetryBudgetSettings& settings, MonotonicTime now) {
  int retries = 0;
  while (retries < 100'000 && budget.NextRetry(settings, now) == now) {
    budget.CountRetry(now);
    ++retries;
  }
  return retries;
}

TEST(RetryBudgetTest, AllowsAShareOfTheRequestsButAlwaysAFew) {
  struct {
    std::string_view name;
    RetryBudgetSettings settings;
    int requests;
    int want;
  } const cases[] = {
      {"nobody asks", {}, 0, 30},
      {"few requests", {}, 149, 30},
      {"many requests", {}, 1000, 200},
      {"a share that is no whole number", {}, 999, 199},
      {"no minimum", {.min_per_second = 0}, 1000, 200},
      {"no minimum and no requests", {.min_per_second = 0}, 0, 0},
      {"no share", {.ratio = 0}, 1000, 30},
      {"none at all", {.ratio = 0, .min_per_second = 0}, 1000, 0},
      {"more than one a request", {.ratio = 3}, 1000, 3000},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    RetryBudget budget;
    for (int i = 0; i < c.requests; ++i) budget.CountRequest(kStart);
    EXPECT_EQ(UseUp(budget, c.settings, kStart), c.want);
  }
}

TEST(RetryBudgetTest, TellsWhenThereIsRoomAgain) {
  RetryBudget budget;
  UseUp(budget, {}, kStart + 400ms);
  for (const auto later : {400ms, 900ms, 5000ms, 9999ms}) {
    EXPECT_EQ(budget.NextRetry({}, kStart + later), kStart + 10s);
  }
  EXPECT_EQ(budget.NextRetry({}, kStart + 10s), kStart + 10s);
  EXPECT_EQ(UseUp(budget, {}, kStart + 10s), 30);
}

TEST(RetryBudgetTest, RoomThatShrinksAsRequestsAreForgottenIsNotPromised) {
  RetryBudget budget;
  const RetryBudgetSettings settings{.min_per_second = 0};
  for (int i = 0; i < 100; ++i) budget.CountRequest(kStart);
  EXPECT_EQ(UseUp(budget, settings, kStart + 5s), 20);
  // The requests go first; then there is nothing to have a share of.
  EXPECT_EQ(budget.NextRetry(settings, kStart + 5s), kStart + 5s + RetryBudget::kWindow);
}

TEST(RetryBudgetTest, HoldsInEveryTenSecondsWhateverThePace) {
  for (const auto step : {7ms, 90ms, 333ms, 1700ms}) {
    SCOPED_TRACE(step.count());
    RetryBudget budget;
    std::deque<MonotonicTime> granted;
    for (MonotonicTime now = kStart; now < kStart + 60s; now += step) {
      for (int i = 0; i < 20 && budget.NextRetry({}, now) == now; ++i) {
        budget.CountRetry(now);
        granted.push_back(now);
      }
      // The window moves by whole seconds, so the last nine are always within.
      while (!granted.empty() && granted.front() <= now - 9s) granted.pop_front();
      EXPECT_LE(granted.size(), 30u);
    }
  }
}

class RetryBudgetOfTheFleet : public testing::Test {
 protected:
  Verdict Ask(bool is_continuation, AdmitMode mode = AdmitMode::kFirstAvailable) {
    Verdict verdict;
    const std::vector<TargetName> targets = {Fleet::kTarget, {"azure", "gpt"}};
    fleet_.table.Admit(
        {.reporter = "gw", .targets = targets, .mode = mode, .is_continuation = is_continuation},
        fleet_.Now(), verdict);
    return verdict;
  }
  void UseUp() {
    for (int i = 0; i < 30; ++i) ASSERT_EQ(Ask(true).granted_index, 0) << i;
  }

  Fleet fleet_;
};

TEST_F(RetryBudgetOfTheFleet, RefusesFurtherAttemptsAndTellsWhen) {
  UseUp();
  const Verdict refused = Ask(true);
  EXPECT_EQ(refused.granted_index, -1);
  ASSERT_EQ(refused.decisions.size(), 2u);
  for (const TargetDecision& decision : refused.decisions) {
    EXPECT_EQ(decision.decision, Decision::kReject);
    EXPECT_EQ(decision.reason, RefusalReason::kRetryBudget);
  }
  EXPECT_GT(refused.retry_after, 0ms);
  fleet_.Wait(refused.retry_after - 1ms);
  EXPECT_EQ(Ask(true).granted_index, -1);
  fleet_.Wait(1ms);
  EXPECT_EQ(Ask(true).granted_index, 0);
}

TEST_F(RetryBudgetOfTheFleet, NeverRefusesAFirstAttempt) {
  UseUp();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask(false).granted_index, 0);
  EXPECT_EQ(Ask(true).granted_index, -1) << "30 of 100 are more than 20 %";
  for (int i = 0; i < 55; ++i) Ask(false);
  EXPECT_EQ(Ask(true).granted_index, 0) << "31 of 155";
  EXPECT_EQ(Ask(true).granted_index, -1);
}

TEST_F(RetryBudgetOfTheFleet, PeekingTellsButTakesNothing) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask(true, AdmitMode::kPeek).granted_index, 0);
  UseUp();
  EXPECT_EQ(Ask(true, AdmitMode::kPeek).granted_index, -1);
  EXPECT_EQ(Ask(false, AdmitMode::kPeek).granted_index, 0);
}

TEST_F(RetryBudgetOfTheFleet, WhatIsRefusedForLongerKeepsItsReason) {
  fleet_.ReportLimit(fleet_.Ask(), 60s);
  for (int i = 0; i < 30; ++i) ASSERT_EQ(Ask(true).granted_index, 1) << i;
  const Verdict refused = Ask(true);
  EXPECT_EQ(refused.decisions[0].reason, RefusalReason::kRateLimited);
  EXPECT_EQ(refused.decisions[1].reason, RefusalReason::kRetryBudget);
  EXPECT_EQ(refused.retry_after, refused.decisions[1].retry_after);
}

TEST_F(RetryBudgetOfTheFleet, RefusedRequestsEarnNoFurtherAttempts) {
  fleet_.ReportLimit(fleet_.Ask(), 60s);
  for (int i = 0; i < 1000; ++i) fleet_.Ask();
  int granted = 0;
  while (granted < 1000 && Ask(true).granted_index == 1) ++granted;
  EXPECT_EQ(granted, 30);
}

}  // namespace
}  // namespace ratelimitd
