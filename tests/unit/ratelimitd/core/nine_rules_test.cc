// The rules that prevent known bugs, each by its number.
#include <gtest/gtest.h>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

TEST(NineRulesTest, Rule1FailureWhileOpenNeverExtendsTheOpening) {
  Fleet fleet;
  const Verdict late = fleet.Ask();
  fleet.Trip();
  const auto opened = *fleet.table.ViewOne(Fleet::kTarget, fleet.Now());
  ASSERT_EQ(opened.state, HealthState::kOpen);
  for (int i = 0; i < 20; ++i) fleet.Report(late, OutcomeKind::kUpstreamError);
  auto unasked = fleet.Draft({}, OutcomeKind::kUpstreamError);
  unasked.target = Fleet::kTarget;
  fleet.Report(unasked);
  const auto after = *fleet.table.ViewOne(Fleet::kTarget, fleet.Now());
  EXPECT_EQ(after.until, opened.until);
  EXPECT_EQ(after.version, opened.version);
}

TEST(NineRulesTest, Rule2ReportOfAnOlderGenerationNeverOpensClosesOrShortens) {
  Fleet fleet;
  std::vector<Verdict> old;
  for (int i = 0; i < 12; ++i) old.push_back(fleet.Ask());
  fleet.TripAndHalfOpen();
  ASSERT_EQ(fleet.State(), HealthState::kHalfOpen);
  EXPECT_EQ(fleet.Report(old[0], OutcomeKind::kSuccess), AckStatus::kStale);
  EXPECT_EQ(fleet.Report(old[1], OutcomeKind::kSuccess), AckStatus::kStale);
  EXPECT_EQ(fleet.Report(old[2], OutcomeKind::kUpstreamError), AckStatus::kStale);
  EXPECT_EQ(fleet.State(), HealthState::kHalfOpen);
  fleet.Attempt(OutcomeKind::kSuccess);
  fleet.Attempt(OutcomeKind::kSuccess);
  ASSERT_EQ(fleet.State(), HealthState::kRamping);
  for (int i = 3; i < 12; ++i) {
    fleet.Wait(200ms);
    EXPECT_EQ(fleet.Report(old[i], OutcomeKind::kUpstreamError), AckStatus::kStale);
  }
  EXPECT_EQ(fleet.State(), HealthState::kRamping);
}

TEST(NineRulesTest, Rule3NeutralOutcomesFreeTheProbeAndDoNothingElse) {
  for (const OutcomeKind kind : {OutcomeKind::kModelNotFound, OutcomeKind::kCallerError,
                                 OutcomeKind::kCancelled, OutcomeKind::kNotSent}) {
    SCOPED_TRACE(OutcomeName(kind));
    Fleet fleet;
    fleet.TripAndHalfOpen();
    const Verdict probe = fleet.Ask();
    ASSERT_EQ(probe.decisions[0].decision, Decision::kAdmitProbe);
    EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kProbesBusy);
    fleet.Report(probe, kind);
    EXPECT_EQ(fleet.State(), HealthState::kHalfOpen);
    EXPECT_EQ(fleet.Ask().decisions[0].decision, Decision::kAdmitProbe);
  }
}

TEST(NineRulesTest, Rule4ProbeThatMeetsA429ClosesTowardsTheRampAndBacksOff) {
  Fleet fleet;
  fleet.TripAndHalfOpen();
  EXPECT_EQ(fleet.ReportLimit(fleet.Ask(), 10s), AckStatus::kApplied);
  EXPECT_EQ(fleet.State(), HealthState::kBackingOff);
  EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kRateLimited);
  fleet.Wait(11s);
  EXPECT_EQ(fleet.State(), HealthState::kRamping);
}

TEST(NineRulesTest, Rule5LateSuccessFromBeforeThe429DoesNotClearTheCooldown) {
  Fleet fleet;
  const Verdict early = fleet.Ask();
  fleet.ReportLimit(fleet.Ask(), 20s);
  fleet.Report(early, OutcomeKind::kSuccess);
  EXPECT_EQ(fleet.State(), HealthState::kBackingOff);
  EXPECT_GE(fleet.Ask().retry_after, 20s);
}

TEST(NineRulesTest, Rule6RepeatedReportCountsOnceAndALostOneLosesNoPermit) {
  Fleet fleet;
  const Verdict grant = fleet.Ask();
  const AttemptReport report = fleet.Draft(grant, OutcomeKind::kUpstreamError);
  EXPECT_EQ(fleet.Report(report), AckStatus::kApplied);
  for (int i = 0; i < 20; ++i) {
    fleet.Wait(200ms);
    EXPECT_EQ(fleet.Report(report), AckStatus::kDuplicate);
  }
  EXPECT_EQ(fleet.State(), HealthState::kHealthy);
  fleet.TripAndHalfOpen();
  const Verdict lost = fleet.Ask();
  ASSERT_EQ(lost.decisions[0].decision, Decision::kAdmitProbe);
  fleet.Wait(31s);
  EXPECT_EQ(fleet.Ask().decisions[0].decision, Decision::kAdmitProbe);
}

TEST(NineRulesTest, Rule6ReorderedReportsLeaveTheNewestTruth) {
  Fleet in_order, reversed;
  for (Fleet* fleet : {&in_order, &reversed}) {
    const Verdict first = fleet->Ask();
    const Verdict second = fleet->Ask();
    if (fleet == &in_order) {
      fleet->ReportLimit(first, 5s);
      fleet->ReportLimit(second, 30s);
    } else {
      fleet->ReportLimit(second, 30s);
      fleet->ReportLimit(first, 5s);
    }
  }
  EXPECT_EQ(in_order.Ask().retry_after, reversed.Ask().retry_after);
}

TEST(NineRulesTest, Rule7RetryAfterIsWhenItWouldBeAdmittedAndSpread) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask(), 20s);
  fleet.chance = 0.9;
  const auto told_late = fleet.Ask().retry_after;
  fleet.chance = 0;
  const auto told = fleet.Ask().retry_after;
  EXPECT_EQ(told, 20s);
  EXPECT_GT(told_late, told);
  EXPECT_LE(told_late, 21s);
  fleet.Wait(told - 1ms);
  EXPECT_EQ(fleet.Ask().granted_index, -1);
  fleet.Wait(1ms);
  EXPECT_EQ(fleet.Ask().granted_index, 0);
}

TEST(NineRulesTest, Rule8RestoredDeadlinesNeverExceedTheirLengthNorShrinkBeyondTheClocksError) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask(), 600s);
  const auto records = fleet.table.TakeConsequences(fleet.now);
  struct {
    const char* name;
    milliseconds age;
    milliseconds want;
  } cases[] = {{"at once", 0s, 600s},
               {"a minute later", 60s, 540s},
               {"clock set back a year", -24h * 365, 600s},
               {"clock ten minutes ahead", 600s, 0s}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Fleet restarted;
    for (const KeyRecord& record : records) restarted.table.Restore(record, c.age, restarted.now);
    EXPECT_EQ(restarted.Ask().retry_after, c.want);
  }
}

TEST(NineRulesTest, Rule9AMillionTargetsStayWithinTheBoundAndEvictNoRealBlock) {
  Fleet fleet({.max_targets = 1000});
  auto report = fleet.Draft(fleet.Ask(), OutcomeKind::kQuotaExhausted);
  report.retry_after = 1h;
  fleet.Report(report);
  const TargetName limited{"azure", "real"};
  auto limit = fleet.Draft(fleet.Ask({limited}), OutcomeKind::kRateLimited);
  limit.retry_after = 10min;
  fleet.Report(limit);
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string name = "p" + std::to_string(i);
    ASSERT_EQ(fleet.Ask({{name, "m"}}).granted_index, 0);
  }
  const TableStats stats = fleet.table.Stats(fleet.Now());
  EXPECT_LE(stats.targets, 1000u);
  EXPECT_LE(stats.providers, 1000u);
  EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kQuotaExhausted);
  EXPECT_EQ(fleet.Ask({limited}).decisions[0].reason, RefusalReason::kRateLimited);
}

}  // namespace
}  // namespace ratelimitd
