#include "gateway/core/memory_budget.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

constexpr int64_t kStep = MemoryHold::kStepBytes;
constexpr int64_t kLimit = 100 * kStep;

TEST(MemoryBudgetTest, EveryRequestHoldsAStepAndGivesItBack) {
  MemoryBudget budget;
  {
    MemoryHold hold(budget);
    EXPECT_EQ(budget.held(), 0);
    EXPECT_TRUE(hold.Begin(0, kLimit));
    EXPECT_EQ(budget.held(), kStep);
    EXPECT_TRUE(hold.Grow(kStep - 1));
    EXPECT_EQ(budget.held(), kStep);
    EXPECT_TRUE(hold.Grow(kStep));
    EXPECT_EQ(budget.held(), 2 * kStep);
  }
  EXPECT_EQ(budget.held(), 0);
}

TEST(MemoryBudgetTest, LargeRequestsAreTurnedAwayBeforeSmallOnes) {
  MemoryBudget budget;
  MemoryHold first(budget);
  ASSERT_TRUE(first.Begin(24 * kStep, kLimit));
  MemoryHold second(budget);
  EXPECT_FALSE(second.Begin(20 * kStep, kLimit)) << "80 of 75 would have to be free";
  EXPECT_EQ(budget.held(), 25 * kStep) << "a refusal takes nothing";
  EXPECT_TRUE(second.Begin(18 * kStep, kLimit));
  MemoryHold small(budget);
  EXPECT_TRUE(small.Begin(100, kLimit));
}

TEST(MemoryBudgetTest, WhatIsUnderWayMayTakeAllThereIs) {
  MemoryBudget budget;
  MemoryHold hold(budget);
  ASSERT_TRUE(hold.Begin(0, kLimit));
  EXPECT_TRUE(hold.Grow(kLimit - 1));
  EXPECT_EQ(budget.held(), kLimit);
  EXPECT_FALSE(hold.Grow(kLimit));
  EXPECT_EQ(hold.held(), kLimit) << "what it has it keeps";
  MemoryHold other(budget);
  EXPECT_FALSE(other.Begin(0, kLimit));
  hold.Release();
  EXPECT_TRUE(other.Begin(0, kLimit));
}

TEST(MemoryBudgetTest, ABodyThatGrowsKeepsItsHeadroom) {
  MemoryBudget budget;
  MemoryHold hold(budget);
  int64_t bytes = 0;
  while (bytes < kLimit && hold.Begin(bytes, kLimit)) bytes += kStep;
  EXPECT_NEAR(static_cast<double>(bytes), kLimit / 4.0, 2.0 * kStep);
}

TEST(MemoryBudgetTest, ALowerLimitHoldsFromTheNextRequestOn) {
  MemoryBudget budget;
  MemoryHold before(budget);
  ASSERT_TRUE(before.Begin(0, kLimit));
  MemoryHold after(budget);
  EXPECT_FALSE(after.Begin(0, kStep));
  EXPECT_TRUE(before.Grow(10 * kStep));
}

}  // namespace
}  // namespace gateway
