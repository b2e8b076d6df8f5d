#include "ratelimitd/core/limits.h"

#include <gtest/gtest.h>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

constexpr MonotonicTime kNow{1h};

TEST(GcraTest, AMinutesWorthAtOnceThenATrickle) {
  Gcra gcra;
  for (int i = 0; i < 60; ++i) {
    EXPECT_LE(gcra.ReadyAt(60, 1, kNow), kNow) << i;
    gcra.Take(60, 1, kNow);
  }
  EXPECT_EQ(gcra.ReadyAt(60, 1, kNow) - kNow, 1s);
  EXPECT_LE(gcra.ReadyAt(60, 1, kNow + 1s), kNow + 1s);
}

TEST(GcraTest, NeverMoreThanTwoMinutesWorthInAMinuteAndTheRateInTheLongRun) {
  Gcra gcra;
  int admitted = 0;
  for (MonotonicTime now = kNow; now < kNow + 10min; now += 100ms) {
    if (gcra.ReadyAt(30, 1, now) > now) continue;
    gcra.Take(30, 1, now);
    ++admitted;
  }
  EXPECT_NEAR(admitted, 330, 2);
}

TEST(GcraTest, CostAboveAMinuteWaitsUntilNothingIsOwed) {
  Gcra gcra;
  EXPECT_LE(gcra.ReadyAt(100, 1'000'000, kNow), kNow);
  gcra.Take(100, 1'000'000, kNow);
  EXPECT_LE(gcra.ReadyAt(100, 1, kNow) - kNow, 1h);
  EXPECT_GT(gcra.ReadyAt(100, 1, kNow), kNow);
}

TEST(GcraTest, ZeroIsNoLimitAndHugeNumbersDoNotOverflow) {
  Gcra gcra;
  gcra.Take(0, 1'000'000'000, kNow);
  EXPECT_LE(gcra.ReadyAt(0, 1, kNow), kNow);
  gcra.Take(1, 1'000'000'000'000, kNow);
  gcra.Take(1, -1'000'000'000'000, kNow);
  EXPECT_LE(gcra.ReadyAt(1, 1, kNow), kNow + 1h);
}

TEST(LimitsTest, LimitOfAProviderHoldsForItsTargetsOnly) {
  TableSettings settings;
  settings.providers["openai"].limits.requests_per_minute = 2;
  Fleet fleet(settings);
  EXPECT_EQ(fleet.Ask().granted_index, 0);
  EXPECT_EQ(fleet.Ask({{"openai", "other"}}).granted_index, 0);
  const Verdict verdict = fleet.Ask();
  EXPECT_EQ(verdict.decisions[0].reason, RefusalReason::kLocalLimit);
  EXPECT_EQ(verdict.retry_after, 30s);
  EXPECT_EQ(fleet.Ask({{"azure", "gpt"}}).granted_index, 0);
  fleet.Wait(30s);
  EXPECT_EQ(fleet.Ask().granted_index, 0);
}

class ClientLimitsTest : public testing::Test {
 protected:
  void Allow(const LimitSettings& limits) {
    fleet_.table.LearnClientLimits("team", limits, fleet_.now);
  }
  Verdict Ask(int64_t cost_tokens = 0) {
    Verdict verdict;
    fleet_.table.Admit({.reporter = "gw",
                        .targets = targets_,
                        .client_name = "team",
                        .cost_tokens = cost_tokens,
                        .attempt_timeout = 20s,
                        .is_continuation = is_continuation_},
                       fleet_.Now(), verdict);
    return verdict;
  }

  bool is_continuation_ = false;
  Fleet fleet_;
  std::vector<TargetName> targets_ = {Fleet::kTarget, {"azure", "gpt"}};
};

TEST_F(ClientLimitsTest, RefusalAppliesToEveryTarget) {
  Allow({.requests_per_minute = 1});
  EXPECT_EQ(Ask().granted_index, 0);
  const Verdict verdict = Ask();
  ASSERT_EQ(verdict.decisions.size(), 2u);
  for (const TargetDecision& decision : verdict.decisions) {
    EXPECT_EQ(decision.reason, RefusalReason::kClientLimit);
    EXPECT_EQ(decision.retry_after, 60s);
  }
  EXPECT_EQ(verdict.retry_after, 60s);
}

TEST_F(ClientLimitsTest, EveryVerdictSaysWhatIsLeft) {
  EXPECT_FALSE(Ask().client_limits.has_value());
  Allow({.requests_per_minute = 60, .tokens_per_minute = 1000});
  const Verdict first = Ask(250);
  ASSERT_TRUE(first.client_limits.has_value());
  EXPECT_EQ(first.client_limits->requests.per_minute, 60);
  EXPECT_EQ(first.client_limits->requests.remaining, 59);
  EXPECT_EQ(first.client_limits->requests.reset, 1s);
  EXPECT_EQ(first.client_limits->tokens.per_minute, 1000);
  EXPECT_EQ(first.client_limits->tokens.remaining, 750);
  EXPECT_EQ(first.client_limits->tokens.reset, 15s);
  const Verdict refused = Ask(900);
  EXPECT_EQ(refused.granted_index, -1);
  EXPECT_EQ(refused.client_limits->tokens.remaining, 750) << "a refusal takes nothing";
  EXPECT_EQ(refused.retry_after, 9s) << "when 900 fit again";
  Allow({});
  EXPECT_FALSE(Ask().client_limits.has_value()) << "its limits were taken away";
}

TEST_F(ClientLimitsTest, AFurtherAttemptIsNoSecondRequest) {
  Allow({.requests_per_minute = 1, .concurrent = 1});
  const Verdict first = Ask();
  fleet_.Report(first, OutcomeKind::kUpstreamError);
  EXPECT_EQ(Ask().granted_index, -1);
  is_continuation_ = true;
  const Verdict second = Ask();
  EXPECT_EQ(second.granted_index, 0);
  EXPECT_EQ(second.client_limits->requests.remaining, 0);
  EXPECT_EQ(second.client_limits->requests.reset, 60s);
}

TEST_F(ClientLimitsTest, EstimateIsCorrectedByTheReport) {
  Allow({.tokens_per_minute = 1000});
  auto report = fleet_.Draft(Ask(1000), OutcomeKind::kSuccess);
  report.tokens_used = 100;
  EXPECT_EQ(Ask(900).granted_index, -1);
  fleet_.Report(report);
  EXPECT_EQ(Ask(900).granted_index, 0);
  EXPECT_EQ(Ask(100).granted_index, -1);
}

TEST_F(ClientLimitsTest, AttemptThatUsedNothingGivesItsEstimateBack) {
  Allow({.tokens_per_minute = 1000});
  fleet_.Report(Ask(1000), OutcomeKind::kNotSent);
  EXPECT_EQ(Ask(1000).granted_index, 0);
}

TEST_F(ClientLimitsTest, ConcurrencyEndsWithTheFinalReportOrTheLease) {
  Allow({.concurrent = 1});
  const Verdict first = Ask();
  EXPECT_EQ(Ask().decisions[0].reason, RefusalReason::kClientLimit);
  fleet_.Report(first, OutcomeKind::kStreamStarted);
  EXPECT_EQ(Ask().granted_index, -1);
  fleet_.Report(first, OutcomeKind::kSuccess);
  EXPECT_EQ(Ask().granted_index, 0);
  EXPECT_EQ(Ask().granted_index, -1);
  fleet_.Wait(20s);
  EXPECT_EQ(Ask().granted_index, 0) << "the lost one is given up";
}

TEST_F(ClientLimitsTest, WhoHasNoNameHasNoLimits) {
  ClientLimits clients;
  for (uint64_t id = 1; id <= 3; ++id) clients.Learn("", {.concurrent = 1}, 10, id, fleet_.now);
  EXPECT_TRUE(clients.Names().empty());
  EXPECT_EQ(clients.NameOf(1), "");
  clients.Settle(1, 1, 0, fleet_.now);
}

TEST_F(ClientLimitsTest, UnknownClientsAreNotLimitedAndMemoryIsBounded) {
  EXPECT_EQ(Ask().granted_index, 0);
  for (int i = 0; i < 10'000; ++i) {
    fleet_.table.LearnClientLimits("c" + std::to_string(i), {.concurrent = 1}, fleet_.now);
  }
  Allow({.concurrent = 1});
  Ask();
  EXPECT_EQ(Ask().granted_index, -1) << "idle clients made room";
}

}  // namespace
}  // namespace ratelimitd
