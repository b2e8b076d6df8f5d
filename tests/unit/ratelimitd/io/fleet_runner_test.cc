#include "ratelimitd/io/fleet_runner.h"

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <memory>
#include <string>

#include "ratelimitd/io/desk_job.h"
#include "ratelimitd/store/memory_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/memory_shared_store.h"

namespace {

using namespace ratelimitd;
using namespace std::chrono_literals;
using candor_test::FakeClock;
using candor_test::MemorySharedStore;
using candor_test::SimulatedRedis;

constexpr TargetName kTarget{"openai", "gpt"};

class AskJob final : public FleetJob {
 public:
  explicit AskJob(std::string reporter, milliseconds timeout = 10s, TargetName target = kTarget)
      : reporter_(std::move(reporter)), timeout_(timeout), target_(target) {}
  void Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const override {
    table.CollectDocuments(MakeAsk(), keys);
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    table.Admit(MakeAsk(), next_moment(), verdict);
  }
  void Confirm(TargetTable&, const FleetOutcome& how, MonotonicTime) override { outcome = how; }

  Verdict verdict;
  FleetOutcome outcome;

 private:
  Ask MakeAsk() const {
    return {.reporter = reporter_,
            .lease_kind = LeaseKind::kSession,
            .targets = {&target_, 1},
            .attempt_timeout = timeout_};
  }
  std::string reporter_;
  milliseconds timeout_;
  TargetName target_;
};

class ReportJob final : public FleetJob {
 public:
  explicit ReportJob(const AttemptReport& report) : report_(report) {}
  void Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const override {
    table.CollectDocuments(report_, keys);
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    status = table.Report(report_, next_moment());
  }
  void Confirm(TargetTable& table, const FleetOutcome& how, MonotonicTime now) override {
    outcome = how;
    table.ConfirmReport(report_.reporter, report_.sequence_number, now);
  }

  AckStatus status = AckStatus::kStale;
  FleetOutcome outcome;

 private:
  AttemptReport report_;
};

// One ratelimitd with a gateway of its own.
class Replica {
 public:
  Replica(uint64_t id, const FakeClock& clock, SimulatedRedis& redis, TableSettings settings = {})
      : name("gw" + std::to_string(id)),
        store(redis),
        table(std::move(settings), id, clock, nothing_),
        runner(table, store, waiters, id) {
    runner.Refresh();
  }

  Verdict Ask(std::string_view reporter = {}) {
    AskJob job(reporter.empty() ? name : std::string(reporter), 10s, target);
    FleetJob* jobs[] = {&job};
    last = runner.Run(jobs);
    return job.verdict;
  }
  AttemptReport Draft(const Verdict& grant, OutcomeKind kind) {
    tokens_.push_back(grant.token);
    return {.reporter = name,
            .sequence_number = ++last_sequence_,
            .token = tokens_.back(),
            .target = target,
            .kind = kind,
            .http_status = 500};
  }
  AckStatus Report(const AttemptReport& report) {
    ReportJob job(report);
    FleetJob* jobs[] = {&job};
    last = runner.Run(jobs);
    return job.status;
  }
  AckStatus Report(const Verdict& grant, OutcomeKind kind) { return Report(Draft(grant, kind)); }
  AckStatus ReportLimit(const Verdict& grant, milliseconds figure) {
    AttemptReport report = Draft(grant, OutcomeKind::kRateLimited);
    report.retry_after = figure;
    return Report(report);
  }
  void Reset(TargetName of) {
    DocumentsJob job(
        {{DocumentKind::kProvider, std::string(of.provider)}},
        [&](TargetTable& t, const NextMoment& next_moment) {
          t.Reset({of, {"An operator has reset it: Paid.", "operator"}}, next_moment());
        });
    FleetJob* jobs[] = {&job};
    last = runner.Run(jobs);
  }
  HealthState State(TargetName of = kTarget) {
    HealthState state = HealthState::kHealthy;
    table.Update([&](TargetTable& t, auto next_moment) {
      const auto view = t.ViewOne(of, next_moment());
      if (view) state = view->state;
    });
    return state;
  }

  int64_t Calls(TargetName of = kTarget) {
    int64_t calls = 0;
    table.Update([&](TargetTable& t, auto next_moment) {
      const auto view = t.ViewOne(of, next_moment());
      if (view) calls = view->window.calls;
    });
    return calls;
  }

  std::string name;
  TargetName target = kTarget;  // of its asks and reports
  MemorySharedStore store;
  MemoryStore nothing_;
  DurableWaiters waiters;
  SharedTable table;
  FleetRunner runner;
  FleetOutcome last;

 private:
  uint64_t last_sequence_ = 0;
  std::deque<std::string> tokens_;
};

class FleetRunnerTest : public testing::Test {
 protected:
  void Trip() {
    for (int i = 0; i < 5; ++i) {
      Replica& replica = i % 2 == 0 ? a : b;
      replica.Report(replica.Ask(), OutcomeKind::kUpstreamError);
      clock.Advance(200ms);
    }
  }
  bool IsAdmitted(Replica& replica) { return replica.Ask().granted_index == 0; }
  static void ExpectRefused(Replica& replica, milliseconds at_most) {
    const Verdict verdict = replica.Ask();
    EXPECT_EQ(verdict.granted_index, -1);
    EXPECT_LE(verdict.retry_after, at_most);
  }

  FakeClock clock;
  SimulatedRedis redis{clock};
  Replica a{1, clock, redis};
  Replica b{2, clock, redis};
};

TEST_F(FleetRunnerTest, AFailureReportedToOneIsSeenByTheNextAskOfTheOther) {
  a.ReportLimit(a.Ask(), 20s);
  const Verdict verdict = b.Ask();
  EXPECT_EQ(verdict.granted_index, -1);
  EXPECT_GE(verdict.retry_after, 20s);
  EXPECT_FALSE(b.last.is_degraded);
}

TEST_F(FleetRunnerTest, FailuresOfAllReplicasCountTogether) {
  Trip();
  EXPECT_FALSE(IsAdmitted(a));
  EXPECT_FALSE(IsAdmitted(b));
  EXPECT_EQ(b.State(), HealthState::kOpen);
}

TEST_F(FleetRunnerTest, AskingAHealthyTargetCommitsNothing) {
  a.Ask();
  b.Ask();
  const int before = a.store.commits + b.store.commits;
  for (int i = 0; i < 10; ++i) a.Report(a.Ask(), OutcomeKind::kSuccess);
  EXPECT_TRUE(IsAdmitted(b));
  EXPECT_EQ(a.store.commits + b.store.commits, before);
}

TEST_F(FleetRunnerTest, CountsOfSuccessesReachTheOthersWithTheNextFlush) {
  for (int i = 0; i < 10; ++i) a.Report(a.Ask(), OutcomeKind::kSuccess);
  for (int i = 0; i < 4; ++i) b.Report(b.Ask(), OutcomeKind::kSuccess);
  a.runner.Flush();
  b.runner.Flush();
  b.runner.Flush();
  a.runner.Refresh();
  for (Replica* replica : {&a, &b}) {
    replica->table.Update([&](TargetTable& table, auto next_moment) {
      EXPECT_EQ(table.ViewOne(kTarget, next_moment())->window.calls, 14);
      EXPECT_EQ(table.ViewOne(kTarget, next_moment())->window.admissions, 14);
    });
  }
}

TEST_F(FleetRunnerTest, CountsThatNobodyHasSeenEndWithTheGenerationThatAnotherEnds) {
  a.Report(a.Ask(), OutcomeKind::kSuccess);
  for (int i = 0; i < 5; ++i) {
    b.Report(b.Ask(), OutcomeKind::kUpstreamError);
    clock.Advance(200ms);
  }
  a.Ask();
  EXPECT_EQ(a.State(), HealthState::kOpen);
  EXPECT_EQ(a.Calls(), 0);
}

TEST_F(FleetRunnerTest, AReplicaThatNobodyAsksKnowsWhatOthersKnow) {
  Trip();
  a.runner.Refresh();
  Replica late(3, clock, redis);
  EXPECT_EQ(late.State(), HealthState::kOpen);
}

TEST_F(FleetRunnerTest, AProviderForgottenForWantOfRoomIsReadAgainAsItIs) {
  a.Report(a.Ask(), OutcomeKind::kSuccess);
  a.runner.Flush();
  TableSettings settings;
  settings.max_targets = 1;
  Replica small(3, clock, redis, settings);
  small.Ask();
  ASSERT_EQ(small.Calls(), 1);
  small.target = {"mistral", "large"};
  small.Ask();
  small.target = kTarget;
  small.Ask();
  EXPECT_EQ(small.Calls(), 1);
}

TEST_F(FleetRunnerTest, WhatIsOnlyHeardOfTakesNobodysRoom) {
  TableSettings settings;
  settings.max_targets = 1;
  Replica small(3, clock, redis, settings);
  small.target = {"mistral", "large"};
  small.Report(small.Ask(), OutcomeKind::kSuccess);
  Trip();
  a.runner.Refresh();
  small.runner.Refresh();
  EXPECT_EQ(small.Calls(small.target), 1);
}

TEST_F(FleetRunnerTest, OneProbeInTheWholeFleet) {
  Trip();
  clock.Advance(7s);
  EXPECT_TRUE(IsAdmitted(a));
  const Verdict verdict = b.Ask();
  EXPECT_EQ(verdict.granted_index, -1);
  EXPECT_EQ(verdict.decisions[0].reason, RefusalReason::kProbesBusy);
}

TEST_F(FleetRunnerTest, OfTwoAsksAtTheSameMomentOneIsTheProbe) {
  Trip();
  clock.Advance(7s);
  bool other_is_admitted = false;
  a.store.before_next_commit = [&] { other_is_admitted = IsAdmitted(b); };
  EXPECT_FALSE(IsAdmitted(a));
  EXPECT_TRUE(other_is_admitted);
  EXPECT_EQ(a.runner.counts().conflicts, 1u);
}

TEST_F(FleetRunnerTest, AProbeOfOneIsReportedToTheOther) {
  Trip();
  clock.Advance(7s);
  for (int i = 0; i < 2; ++i) {
    const Verdict probe = a.Ask();
    ASSERT_EQ(probe.granted_index, 0);
    b.Report(probe, OutcomeKind::kSuccess);
  }
  EXPECT_EQ(b.State(), HealthState::kRamping);
  EXPECT_TRUE(IsAdmitted(a));
  EXPECT_EQ(a.State(), HealthState::kRamping);
}

TEST_F(FleetRunnerTest, AFailureRepeatedToAnotherReplicaCountsOnce) {
  const Verdict grant = a.Ask();
  const AttemptReport report = a.Draft(grant, OutcomeKind::kUpstreamError);
  EXPECT_EQ(a.Report(report), AckStatus::kApplied);
  EXPECT_EQ(b.Report(report), AckStatus::kDuplicate);
  EXPECT_EQ(a.Report(report), AckStatus::kDuplicate);
}

TEST_F(FleetRunnerTest, ReportsWithoutNumbersPushNoNumberOutOfMemory) {
  const AttemptReport report = a.Draft(a.Ask(), OutcomeKind::kUpstreamError);
  EXPECT_EQ(a.Report(report), AckStatus::kApplied);
  AttemptReport unnumbered = a.Draft({}, OutcomeKind::kTimeout);
  unnumbered.sequence_number = 0;
  for (int i = 0; i < 300; ++i) a.Report(unnumbered);
  EXPECT_EQ(b.Report(report), AckStatus::kDuplicate);
}

TEST_F(FleetRunnerTest, AProviderForgottenByOneForWantOfRoomIsForgottenByNobodyElse) {
  TableSettings settings;
  settings.max_targets = 1;
  Replica small(3, clock, redis, settings);
  small.Report(small.Ask(), OutcomeKind::kSuccess);
  const AttemptReport report = a.Draft(a.Ask(), OutcomeKind::kCallerError);
  EXPECT_EQ(a.Report(report), AckStatus::kApplied);
  small.Ask();
  small.target = {"mistral", "large"};
  small.Ask();
  small.runner.Flush();
  EXPECT_EQ(b.Report(report), AckStatus::kDuplicate);
}

TEST_F(FleetRunnerTest, AReportDecidedAgainAfterAConflictIsNoDuplicate) {
  const Verdict grant = a.Ask();
  a.store.before_next_commit = [&] { b.Report(b.Ask(), OutcomeKind::kUpstreamError); };
  EXPECT_EQ(a.Report(grant, OutcomeKind::kUpstreamError), AckStatus::kApplied);
  EXPECT_EQ(a.runner.counts().conflicts, 1u);
  a.table.Update([&](TargetTable& table, auto next_moment) {
    EXPECT_EQ(table.ViewOne(kTarget, next_moment())->window.failures, 2);
    EXPECT_EQ(table.ViewOne(kTarget, next_moment())->window.admissions, 2);
  });
}

TEST_F(FleetRunnerTest, ManyConflictsInARowStillEnd) {
  const Verdict grant = a.Ask();
  int left = 10;
  std::function<void()> disturb = [&] {
    b.Report(b.Ask(), OutcomeKind::kUpstreamError);
    clock.Advance(1ms);
    if (--left > 0) a.store.before_next_commit = disturb;
  };
  a.store.before_next_commit = disturb;
  EXPECT_EQ(a.ReportLimit(grant, 20s), AckStatus::kApplied);
  EXPECT_FALSE(a.last.is_degraded);
  EXPECT_FALSE(IsAdmitted(b));
}

TEST_F(FleetRunnerTest, WithoutTheStoreTheLastKnownStateAnswers) {
  a.ReportLimit(a.Ask(), 20s);
  EXPECT_FALSE(IsAdmitted(b));
  redis.is_away = true;
  EXPECT_FALSE(IsAdmitted(b));
  EXPECT_TRUE(b.last.is_degraded);
  clock.Advance(25s);
  EXPECT_TRUE(IsAdmitted(b));
}

TEST_F(FleetRunnerTest, WhatWasLearnedAloneIsPromisedAndToldOnlyWhenTheStoreReturns) {
  const Verdict grant = a.Ask();
  b.Ask();
  redis.is_away = true;
  a.ReportLimit(grant, 60s);
  ASSERT_TRUE(a.last.is_degraded);
  EXPECT_FALSE(a.waiters.IsDurable(a.last.ticket));
  EXPECT_FALSE(IsAdmitted(a));
  EXPECT_TRUE(IsAdmitted(b));
  redis.is_away = false;
  a.runner.Refresh();
  EXPECT_TRUE(a.waiters.IsDurable(1));
  EXPECT_FALSE(IsAdmitted(b));
  EXPECT_FALSE(b.last.is_degraded);
}

TEST_F(FleetRunnerTest, FactsOfTwoReplicasLearnedAloneAreMergedByMaximum) {
  const Verdict one = a.Ask();
  const Verdict two = b.Ask();
  redis.is_away = true;
  a.ReportLimit(one, 30s);
  b.ReportLimit(two, 60s);
  redis.is_away = false;
  b.runner.Refresh();
  a.runner.Refresh();
  EXPECT_GE(a.Ask().retry_after, 59s);
  EXPECT_GE(b.Ask().retry_after, 59s);
}

TEST_F(FleetRunnerTest, AnUnconfirmedCommitThatTookEffectCountsOnce) {
  const Verdict grant = a.Ask();
  a.store.loses_next_reply = true;
  a.Report(grant, OutcomeKind::kUpstreamError);
  EXPECT_TRUE(a.last.is_degraded);
  a.runner.Refresh();
  EXPECT_EQ(b.Report(b.Ask(), OutcomeKind::kUpstreamError), AckStatus::kApplied);
  b.table.Update([&](TargetTable& table, auto next_moment) {
    EXPECT_EQ(table.ViewOne(kTarget, next_moment())->window.failures, 2);
  });
}

TEST_F(FleetRunnerTest, CountsOfAnUnconfirmedCommitThatTookEffectCountOnce) {
  b.Ask();
  for (int i = 0; i < 10; ++i) a.Report(a.Ask(), OutcomeKind::kSuccess);
  a.store.loses_next_reply = true;
  a.runner.Flush();
  a.Report(a.Ask(), OutcomeKind::kSuccess);
  a.runner.Flush();
  a.runner.Flush();
  b.runner.Refresh();
  EXPECT_EQ(b.Calls(), 11);
  a.store.loses_next_reply = true;
  a.Report(a.Ask(), OutcomeKind::kSuccess);
  a.Report(a.Ask(), OutcomeKind::kUpstreamError);
  EXPECT_TRUE(a.last.is_degraded);
  for (Replica* replica : {&a, &b}) {
    replica->runner.Refresh();
    EXPECT_EQ(replica->Calls(), 13);
  }
}

TEST_F(FleetRunnerTest, CountsOfACommitThatTookNoEffectAreNotLost) {
  b.Ask();
  for (int i = 0; i < 10; ++i) a.Report(a.Ask(), OutcomeKind::kSuccess);
  redis.is_away = true;
  a.runner.Flush();
  redis.is_away = false;
  a.runner.Flush();
  b.runner.Refresh();
  EXPECT_EQ(b.Calls(), 10);
}

class FleetRunnerResetTest : public FleetRunnerTest {
 protected:
  // Every kind of fact, about the target and its provider.
  void LearnEverything() {
    const Verdict limited = a.Ask(), blocked = a.Ask();
    Trip();
    a.ReportLimit(limited, 10min);
    a.Report(blocked, OutcomeKind::kQuotaExhausted);
    b.Ask();
    clock.Advance(1s);
  }
  // Makes `replica` know more than the store: a limit of `of`.
  void LearnAlone(Replica& replica, TargetName of) {
    AttemptReport report{.reporter = replica.name,
                         .sequence_number = ++last_sequence_,
                         .target = of,
                         .kind = OutcomeKind::kRateLimited,
                         .retry_after = 10min};
    replica.Report(report);
    clock.Advance(1s);
  }
  // Before them another one has something to write, so that they have to merge.
  void ComeBack(std::initializer_list<Replica*> order) {
    redis.is_away = false;
    c.Report(c.Ask(), OutcomeKind::kUpstreamError);
    for (Replica* replica : order) replica->runner.Refresh();
    for (Replica* replica : order) replica->runner.Refresh();
  }

  void Rule(Replica& replica, OverrideMode mode) {
    DocumentsJob job({{DocumentKind::kProvider, "openai"}},
                     [&](TargetTable& t, const NextMoment& next_moment) {
                       t.Override({.name = kTarget, .mode = mode, .length = 1h}, next_moment());
                     });
    FleetJob* jobs[] = {&job};
    replica.runner.Run(jobs);
    clock.Advance(1s);
  }

  static constexpr TargetName kOther{"openai", "other"};
  static constexpr TargetName kProvider{"openai", ""};
  Replica c{3, clock, redis};

 private:
  uint64_t last_sequence_ = 1000;
};

TEST_F(FleetRunnerResetTest, GivenWhileTheStoreIsAwayItHoldsForAllWhoeverComesBackFirst) {
  for (const bool is_first : {false, true}) {
    SCOPED_TRACE(is_first);
    LearnEverything();
    redis.is_away = true;
    LearnAlone(b, kOther);
    a.Reset(kProvider);
    EXPECT_TRUE(a.last.is_degraded);
    clock.Advance(1s);
    if (is_first) ComeBack({&a, &b});
    if (!is_first) ComeBack({&b, &a});
    for (Replica* replica : {&a, &b}) {
      EXPECT_EQ(replica->State(), HealthState::kHealthy);
      EXPECT_EQ(replica->State(kProvider), HealthState::kHealthy);
      EXPECT_EQ(replica->State(kOther), HealthState::kHealthy) << "also what only one knew";
      EXPECT_TRUE(IsAdmitted(*replica));
    }
  }
}

TEST_F(FleetRunnerResetTest, OfOneTargetItLeavesTheOthersAlone) {
  LearnEverything();
  redis.is_away = true;
  LearnAlone(b, kOther);
  a.Reset(kTarget);
  ComeBack({&b, &a});
  for (Replica* replica : {&a, &b}) {
    EXPECT_EQ(replica->State(), HealthState::kHealthy);
    EXPECT_EQ(replica->State(kOther), HealthState::kBackingOff);
    EXPECT_EQ(replica->State(kProvider), HealthState::kBlocked);
  }
}

TEST_F(FleetRunnerResetTest, WhatAnotherReplicaLearnsAfterItStays) {
  for (const bool is_first : {false, true}) {
    SCOPED_TRACE(is_first);
    LearnEverything();
    redis.is_away = true;
    a.Reset(kProvider);
    clock.Advance(1s);
    LearnAlone(b, kOther);
    if (is_first) ComeBack({&a, &b});
    if (!is_first) ComeBack({&b, &a});
    for (Replica* replica : {&a, &b}) {
      EXPECT_EQ(replica->State(), HealthState::kHealthy);
      EXPECT_EQ(replica->State(kOther), HealthState::kBackingOff);
    }
    a.Reset(kProvider);
    b.runner.Refresh();
  }
}

TEST_F(FleetRunnerResetTest, AStoreThatHasLostItIsToldAgain) {
  LearnEverything();
  const auto before = redis.documents;
  a.Reset(kProvider);
  redis.documents = before;
  EXPECT_FALSE(IsAdmitted(b));
  a.runner.Refresh();
  EXPECT_TRUE(IsAdmitted(b));
  EXPECT_EQ(b.State(), HealthState::kHealthy);
}

// There is nothing left to be told but the reset itself.
TEST_F(FleetRunnerResetTest, AStoreThatHasLostEverythingIsToldBeforeSomebodyTellsItOfTheLimit) {
  for (const bool is_override : {false, true}) {
    SCOPED_TRACE(is_override);
    LearnEverything();
    if (is_override) Rule(a, OverrideMode::kForcedOpen);
    EXPECT_FALSE(IsAdmitted(b));
    a.Reset(kProvider);
    if (is_override) Rule(a, OverrideMode::kNone);
    redis.documents.clear();
    a.runner.Refresh();
    b.runner.Refresh();
    EXPECT_TRUE(IsAdmitted(b));
    EXPECT_TRUE(IsAdmitted(a));
  }
}

// Also one of which the replica that was reset did not know.
TEST_F(FleetRunnerResetTest, AnOverrideInForceStays) {
  for (const bool is_known : {false, true}) {
    SCOPED_TRACE(is_known);
    LearnEverything();
    redis.is_away = !is_known;
    Rule(b, OverrideMode::kForcedOpen);
    if (is_known) a.runner.Refresh();
    redis.is_away = true;
    a.Reset(kProvider);
    ComeBack({&b, &a});
    for (Replica* replica : {&a, &b}) {
      EXPECT_EQ(replica->State(), HealthState::kForcedOpen);
      EXPECT_FALSE(IsAdmitted(*replica));
    }
    Rule(b, OverrideMode::kNone);
    a.runner.Refresh();
  }
}

// However much has happened elsewhere before it.
TEST_F(FleetRunnerResetTest, OfTwoWordsTheLaterOneHoldsWhoeverComesBackFirst) {
  for (const bool is_first : {false, true}) {
    SCOPED_TRACE(is_first);
    a.Ask();
    b.Ask();
    redis.is_away = true;
    Rule(b, OverrideMode::kForcedClosed);
    Trip();
    for (int i = 0; i < 10; ++i) b.Reset(kProvider);
    Rule(b, OverrideMode::kForcedOpen);
    Rule(a, OverrideMode::kObserveOnly);
    if (is_first) ComeBack({&a, &b});
    if (!is_first) ComeBack({&b, &a});
    for (Replica* replica : {&a, &b, &c}) {
      replica->runner.Refresh();
      EXPECT_EQ(replica->State(), HealthState::kObserveOnly);
    }
  }
}

// The document was written by the clock as it was before.
TEST_F(FleetRunnerResetTest, OfTwoWordsTheLaterOneHoldsThoughTheClockWasSet) {
  for (const auto step : {StoreTime(-365 * 24h), StoreTime(-2s), StoreTime(50min)}) {
    SCOPED_TRACE(step.count());
    for (const bool is_stored : {false, true}) {
      SCOPED_TRACE(is_stored);
      a.Ask();
      b.Ask();
      Replica& earlier = is_stored ? b : a;
      Rule(earlier, OverrideMode::kObserveOnly);
      clock.Advance(10s);
      redis.is_away = !is_stored;
      Rule(is_stored ? a : b, OverrideMode::kForcedOpen);
      redis.is_away = false;
      redis.step += step;
      for (Replica* replica : {&b, &c}) {
        replica->runner.Refresh();
        EXPECT_EQ(replica->State(), HealthState::kForcedOpen);
      }
      a.runner.Refresh();
      Rule(a, OverrideMode::kNone);
      for (Replica* replica : {&a, &b, &c}) replica->runner.Refresh();
    }
  }
}

TEST_F(FleetRunnerTest, AFlushedStoreIsFilledAgain) {
  Trip();
  ASSERT_FALSE(IsAdmitted(b));
  redis.documents.clear();
  EXPECT_FALSE(IsAdmitted(b));
  EXPECT_FALSE(IsAdmitted(a));
  Replica fresh(3, clock, redis);
  EXPECT_FALSE(IsAdmitted(fresh));
}

TEST_F(FleetRunnerTest, AFlushedStoreWrittenByANewcomerFirstStillLearnsTheFacts) {
  Trip();
  redis.documents.clear();
  Replica fresh(3, clock, redis);
  EXPECT_TRUE(IsAdmitted(fresh));
  EXPECT_FALSE(IsAdmitted(a));
  EXPECT_FALSE(IsAdmitted(fresh));
}

TEST_F(FleetRunnerTest, AFailoverThatLostTheLastWritesIsHealedByTheirWriter) {
  const Verdict grant = a.Ask();
  b.Ask();
  const auto old = redis.documents;
  a.ReportLimit(grant, 60s);
  redis.documents = old;
  b.Report(b.Ask(), OutcomeKind::kUpstreamError);
  a.runner.Refresh();
  EXPECT_FALSE(IsAdmitted(b));
  EXPECT_EQ(a.runner.counts().reasserted, 1u);
}

TEST_F(FleetRunnerTest, ARecoveryProvedToOneIsNotUndoneByAnother) {
  Trip();
  clock.Advance(7s);
  ASSERT_FALSE(!IsAdmitted(b));
  for (int i = 0; i < 3; ++i) {
    a.runner.Refresh();
    b.runner.Refresh();
  }
  clock.Advance(40s);
  for (int i = 0; i < 2; ++i) a.Report(a.Ask(), OutcomeKind::kSuccess);
  ASSERT_EQ(a.State(), HealthState::kRamping);
  b.runner.Refresh();
  EXPECT_EQ(b.State(), HealthState::kRamping);
  EXPECT_TRUE(IsAdmitted(b));
}

TEST_F(FleetRunnerTest, AStoreClockSetBackKeepsWhatRemained) {
  a.ReportLimit(a.Ask(), 30s);
  redis.step = -1h;
  for (Replica* replica : {&b, &a}) {
    replica->Ask();
    ExpectRefused(*replica, 40s);
  }
  clock.Advance(40s);
  EXPECT_TRUE(IsAdmitted(a));
  EXPECT_TRUE(IsAdmitted(b));
}

TEST_F(FleetRunnerTest, AStoreThatComesBackWithAnotherClockKeepsWhatRemained) {
  const Verdict grant = a.Ask();
  redis.is_away = true;
  a.ReportLimit(grant, 30s);
  redis.is_away = false;
  for (const auto step : {StoreTime(1h), StoreTime(-1h)}) {
    redis.step = step;
    a.runner.Refresh();
    a.Ask();
    ExpectRefused(a, 40s);
  }
}

TEST_F(FleetRunnerTest, AStoreClockSetForwardKeepsWhatRemained) {
  a.ReportLimit(a.Ask(), 30s);
  b.Ask();
  for (const auto step : {StoreTime(50min), StoreTime(365 * 24h)}) {
    redis.step += step;
    for (Replica* replica : {&a, &b}) {
      ExpectRefused(*replica, 40s);
    }
  }
  clock.Advance(40s);
  EXPECT_TRUE(IsAdmitted(a));
  EXPECT_TRUE(IsAdmitted(b));
}

// Also when the time is first told to a flush of counts, which concerns other providers.
TEST_F(FleetRunnerTest, WhatAProcessLearnedBeforeItKnewTheTimeKeepsItsLength) {
  redis.is_away = true;
  redis.step = -72h;
  Replica late(3, clock, redis);
  late.ReportLimit(late.Ask(), 30s);
  late.target = b.target = {"mistral", "large"};
  late.Report(late.Ask(), OutcomeKind::kSuccess);
  redis.is_away = false;
  b.Ask();
  late.runner.Flush();
  late.target = kTarget;
  ExpectRefused(late, 40s);
  clock.Advance(40s);
  EXPECT_TRUE(IsAdmitted(late));
  EXPECT_TRUE(IsAdmitted(a));
}

TEST_F(FleetRunnerTest, ForeignBytesAreReplacedByWhatIsKnown) {
  Trip();
  for (auto& [key, document] : redis.documents) {
    document.version = "foreign";
    for (auto& [name, bytes] : document.fields) bytes = "\x7fgarbage";
  }
  EXPECT_FALSE(IsAdmitted(a));
  EXPECT_GT(a.runner.counts().unreadable, 0u);
  EXPECT_FALSE(IsAdmitted(b));
}

TEST_F(FleetRunnerTest, DocumentsExpireByTheirOwnHorizon) {
  a.ReportLimit(a.Ask(), 10min);
  ASSERT_EQ(redis.documents.size(), 1u);
  const auto& document = redis.documents.begin()->second;
  EXPECT_GT(document.expires_at, redis.Now() + 10min);
  EXPECT_LT(document.expires_at, redis.Now() + 2h);
  clock.Advance(3h);
  redis.Expire();
  EXPECT_TRUE(IsAdmitted(a));
  EXPECT_EQ(a.runner.counts().reasserted, 0u);
}

TEST(FleetRunnerLimitsTest, ARateLimitHoldsForAllReplicasTogether) {
  TableSettings settings;
  settings.defaults.limits.requests_per_minute = 10;
  FakeClock clock;
  SimulatedRedis redis(clock);
  Replica a(1, clock, redis, settings);
  Replica b(2, clock, redis, settings);
  int admitted = 0;
  for (int i = 0; i < 20; ++i) admitted += (i % 2 == 0 ? a : b).Ask().granted_index == 0 ? 1 : 0;
  EXPECT_EQ(admitted, 10);
}

TEST(FleetRunnerLimitsTest, ConcurrencyIsLeasedOverAllReplicas) {
  TableSettings settings;
  settings.defaults.limits.concurrent = 2;
  FakeClock clock;
  SimulatedRedis redis(clock);
  Replica a(1, clock, redis, settings);
  Replica b(2, clock, redis, settings);
  const Verdict first = a.Ask();
  ASSERT_EQ(b.Ask().granted_index, 0);
  EXPECT_EQ(a.Ask().granted_index, -1);
  b.Report(first, OutcomeKind::kSuccess);
  EXPECT_EQ(a.Ask().granted_index, 0);
  EXPECT_EQ(b.Ask().granted_index, -1);
}

TEST(FleetRunnerQuorumTest, HostsOfOtherReplicasCountForTheQuorum) {
  FakeClock clock;
  SimulatedRedis redis(clock);
  Replica a(1, clock, redis);
  Replica b(2, clock, redis);
  for (Replica* replica : {&a, &b}) {
    replica->table.Update([&](TargetTable& table, auto next_moment) {
      table.BeginSession(replica->name, replica->name, next_moment().now);
    });
  }
  for (Replica* replica : {&a, &b, &a}) replica->runner.Refresh();
  const auto fail = [&](Replica& replica) {
    AttemptReport report = replica.Draft(replica.Ask(), OutcomeKind::kUnreachable);
    report.http_status = 0;
    replica.Report(report);
    clock.Advance(200ms);
  };
  for (int i = 0; i < 8; ++i) fail(a);
  EXPECT_EQ(a.State({"openai", ""}), HealthState::kHealthy);
  fail(b);
  EXPECT_EQ(b.State({"openai", ""}), HealthState::kOpen);
  a.runner.Refresh();
  EXPECT_EQ(a.State({"openai", ""}), HealthState::kOpen);
}

}  // namespace
