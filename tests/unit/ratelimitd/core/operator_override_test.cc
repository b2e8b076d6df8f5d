#include "ratelimitd/core/operator_override.h"

#include <gtest/gtest.h>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

constexpr TargetName kOther{"openai", "other"};
constexpr TargetName kProvider{"openai", ""};

// A fleet with an operator.
class Ruled : public Fleet {
 public:
  using Fleet::Fleet;

  bool Override(OverrideMode mode, TargetName name = kTarget, milliseconds length = 1h) {
    return table.Override({.name = name,
                           .mode = mode,
                           .length = length,
                           .cause = {DescribeOverride(mode, "Maintenance."), "operator ops"}},
                          Now());
  }
  bool Reset(TargetName name = kTarget) {
    return table.Reset({name, {DescribeReset("Paid."), "operator"}}, Now());
  }
  HealthView View(TargetName name = kTarget) { return *table.ViewOne(name, Now()); }
  TargetDecision Decision() { return Peek().decisions[0]; }
};

TEST(OperatorOverrideTest, EveryFactUnderEveryMode) {
  const struct {
    const char* name;
    void (*happen)(Ruled&);
    RefusalReason reason;  // without an override
    bool is_limit = false;
  } facts[] = {
      {"nothing", [](Ruled& fleet) { fleet.Attempt(OutcomeKind::kSuccess); }, RefusalReason::kNone},
      {"backoff", [](Ruled& fleet) { fleet.ReportLimit(fleet.Ask(), 30s); },
       RefusalReason::kRateLimited},
      {"open breaker", [](Ruled& fleet) { fleet.Trip(); }, RefusalReason::kBreakerOpen},
      {"probe out",
       [](Ruled& fleet) {
         fleet.TripAndHalfOpen();
         fleet.Ask();
       },
       RefusalReason::kProbesBusy},
      {"quota", [](Ruled& fleet) { fleet.Attempt(OutcomeKind::kQuotaExhausted); },
       RefusalReason::kQuotaExhausted},
      {"credential", [](Ruled& fleet) { fleet.Attempt(OutcomeKind::kAuthFailed); },
       RefusalReason::kAuthFailed},
      {"local limit",
       [](Ruled& fleet) {
         TableSettings settings;
         settings.defaults.limits = {.concurrent = 1};
         fleet.table.Configure(settings);
         fleet.Ask();
       },
       RefusalReason::kLocalLimit, true},
  };
  for (const auto& fact : facts) {
    SCOPED_TRACE(fact.name);
    for (const TargetName& level : {Fleet::kTarget, kProvider}) {
      SCOPED_TRACE(level.model.empty() ? "provider" : "target");
      Ruled fleet;
      fact.happen(fleet);
      ASSERT_EQ(fleet.Decision().reason, fact.reason);

      for (const OverrideMode mode : {OverrideMode::kForcedClosed, OverrideMode::kObserveOnly}) {
        SCOPED_TRACE(OverrideModeName(mode));
        ASSERT_TRUE(fleet.Override(mode, level));
        const TargetDecision decision = fleet.Decision();
        EXPECT_EQ(decision.reason, fact.is_limit ? fact.reason : RefusalReason::kNone);
        EXPECT_EQ(decision.overruled, fact.is_limit ? RefusalReason::kNone : fact.reason);
        EXPECT_EQ(decision.retry_after == 0ms, decision.decision != Decision::kReject);
      }
      ASSERT_TRUE(fleet.Override(OverrideMode::kForcedOpen, level));
      EXPECT_EQ(fleet.Decision().reason, RefusalReason::kDrained);
      EXPECT_GE(fleet.Decision().retry_after, 1h);
      EXPECT_LE(fleet.Decision().retry_after, 1h + 1s);

      ASSERT_TRUE(fleet.Override(OverrideMode::kNone, level));
      EXPECT_EQ(fleet.Decision().reason, fact.reason) << "what was learned is there as before";
    }
  }
}

TEST(OperatorOverrideTest, ForcedOpenEndsByItselfAndTheWaitToldIsTrue) {
  Ruled fleet;
  fleet.Attempt(OutcomeKind::kSuccess);
  fleet.Override(OverrideMode::kForcedOpen, Fleet::kTarget, 90s);
  EXPECT_EQ(fleet.View().state, HealthState::kForcedOpen);
  EXPECT_EQ(fleet.View().cause.why, "An operator has taken it out: Maintenance.");
  EXPECT_EQ(fleet.View().cause.reporter, "operator ops");
  const milliseconds wait = fleet.Ask().retry_after;

  fleet.Wait(wait - 2s);
  EXPECT_EQ(fleet.Decision().reason, RefusalReason::kDrained);
  fleet.Wait(2s);
  EXPECT_EQ(fleet.Decision().decision, Decision::kAdmit);

  const HealthView view = fleet.View();
  EXPECT_EQ(view.state, HealthState::kHealthy);
  ASSERT_EQ(view.history.size(), 2u);
  EXPECT_EQ(view.history[0].to, HealthState::kForcedOpen);
  EXPECT_EQ(view.history[1].at - view.history[0].at, 90s);
  EXPECT_EQ(view.history[1].why, "The override has ended.");
}

TEST(OperatorOverrideTest, AForcedOpenTargetIsNobodysLastResort) {
  Ruled fleet;
  fleet.Ask({Fleet::kTarget, kOther});
  fleet.Trip();
  fleet.Override(OverrideMode::kForcedOpen);
  fleet.Wait(10min);
  const Verdict verdict = fleet.Ask();
  EXPECT_EQ(verdict.granted_index, -1);
  EXPECT_GE(verdict.retry_after, 50min);
  EXPECT_EQ(fleet.Ask({Fleet::kTarget, kOther}).granted_index, 1);
}

TEST(OperatorOverrideTest, AWaitThatIsLongerThanTheOverrideIsTold) {
  Ruled fleet;
  auto report = fleet.Draft(fleet.Ask(), OutcomeKind::kQuotaExhausted);
  report.retry_after = 40min;
  fleet.Report(report);
  fleet.Override(OverrideMode::kForcedOpen, Fleet::kTarget, 10min);
  EXPECT_EQ(fleet.Decision().reason, RefusalReason::kDrained);
  EXPECT_GE(fleet.Decision().retry_after, 40min);
}

TEST(OperatorOverrideTest, ReportsFromBeforeChangeNothingAndFreeTheirPermits) {
  for (const bool is_reset : {false, true}) {
    for (const TargetName& level : {Fleet::kTarget, kProvider}) {
      SCOPED_TRACE(is_reset ? "reset" : "override");
      SCOPED_TRACE(level.model.empty() ? "provider" : "target");
      Ruled fleet;
      std::vector<Verdict> old;
      for (int i = 0; i < 20; ++i) old.push_back(fleet.Ask());
      fleet.Wait(1s);
      if (is_reset) fleet.Reset(level);
      if (!is_reset) fleet.Override(OverrideMode::kObserveOnly, level);
      const uint64_t version = fleet.View().version;

      EXPECT_EQ(fleet.ReportLimit(old[0], 30s), AckStatus::kStale);
      EXPECT_EQ(fleet.Report(old[1], OutcomeKind::kAuthFailed), AckStatus::kStale);
      for (int i = 2; i < 20; ++i) {
        EXPECT_EQ(fleet.Report(old[i], OutcomeKind::kUpstreamError), AckStatus::kStale);
        fleet.Wait(200ms);
      }
      EXPECT_EQ(fleet.View().version, version);
      EXPECT_EQ(fleet.Decision().overruled, RefusalReason::kNone);
    }
  }
  Ruled fleet;
  fleet.TripAndHalfOpen();
  const Verdict probe = fleet.Ask();
  fleet.Override(OverrideMode::kObserveOnly);
  EXPECT_EQ(fleet.View().probes_out, 1);
  fleet.Report(probe, OutcomeKind::kSuccess);
  EXPECT_EQ(fleet.View().probes_out, 0);
}

TEST(OperatorOverrideTest, WhatPassesGoesOnTeaching) {
  Ruled fleet;
  fleet.Ask();
  fleet.Override(OverrideMode::kObserveOnly);
  fleet.Trip();
  EXPECT_EQ(fleet.View().state, HealthState::kObserveOnly);
  EXPECT_EQ(fleet.View().ruling->learned_state, HealthState::kOpen);
  EXPECT_EQ(fleet.View().ruling->overruled, 0u);
  fleet.Ask();
  fleet.Ask();
  EXPECT_EQ(fleet.View().ruling->overruled, 2u);

  fleet.Override(OverrideMode::kNone);
  EXPECT_EQ(fleet.State(), HealthState::kOpen);
  EXPECT_FALSE(fleet.View().ruling.has_value());
}

TEST(OperatorOverrideTest, ASuccessThatPassedProvesRecovery) {
  Ruled fleet;
  fleet.Attempt(OutcomeKind::kAuthFailed);
  fleet.Override(OverrideMode::kForcedClosed, kProvider);
  fleet.Attempt(OutcomeKind::kSuccess);
  fleet.Override(OverrideMode::kNone, kProvider);
  EXPECT_EQ(fleet.ProviderState(), HealthState::kHealthy);
}

TEST(OperatorOverrideTest, WhatPassesIsNoProbeOfAHalfOpenBreaker) {
  Ruled fleet;
  fleet.TripAndHalfOpen();
  fleet.Override(OverrideMode::kForcedClosed);
  const Verdict probe = fleet.Ask();
  ASSERT_EQ(probe.decisions[0].decision, Decision::kAdmitProbe);
  for (int i = 0; i < 5; ++i) fleet.Attempt(OutcomeKind::kSuccess);
  EXPECT_EQ(fleet.View().probes_out, 1) << "only the probe's own report frees its permit";
  EXPECT_EQ(fleet.View().ruling->learned_state, HealthState::kHalfOpen);
  fleet.Report(probe, OutcomeKind::kSuccess);
  EXPECT_EQ(fleet.View().probes_out, 0);
}

TEST(OperatorOverrideTest, TheLevelThatIsForcedOpenDecides) {
  Ruled fleet;
  fleet.Ask({Fleet::kTarget});
  fleet.Ask({kOther});
  fleet.Override(OverrideMode::kForcedClosed, kProvider);
  fleet.Override(OverrideMode::kForcedOpen, Fleet::kTarget);
  EXPECT_EQ(fleet.Ask({Fleet::kTarget}).granted_index, -1);
  EXPECT_EQ(fleet.Ask({kOther}).granted_index, 0);

  fleet.Override(OverrideMode::kForcedOpen, kProvider, 2h);
  fleet.Override(OverrideMode::kForcedClosed, Fleet::kTarget);
  EXPECT_EQ(fleet.Ask({Fleet::kTarget}).granted_index, -1);
  EXPECT_GE(fleet.Ask({kOther}).retry_after, 2h);
}

TEST(OperatorOverrideTest, HealthChecksAndFiguresFollow) {
  const auto is_askable = [](Ruled& fleet) {
    return *fleet.table.IsAskable("openai", fleet.Now());
  };
  const auto shown = [](Ruled& fleet) {
    return fleet.table.Stats(fleet.Now()).provider_states[0].state;
  };
  Ruled fleet;
  fleet.Trip();
  EXPECT_EQ(is_askable(fleet), Askable::kNo);
  fleet.Override(OverrideMode::kForcedClosed, kProvider);
  EXPECT_EQ(is_askable(fleet), Askable::kYes);
  EXPECT_EQ(shown(fleet), HealthState::kForcedClosed);
  fleet.Override(OverrideMode::kForcedOpen, Fleet::kTarget);
  EXPECT_EQ(is_askable(fleet), Askable::kNo);
  EXPECT_EQ(shown(fleet), HealthState::kForcedOpen);
  EXPECT_EQ(fleet.table.Stats(fleet.Now()).overrides_by_mode,
            (std::array<size_t, kOverrideModes>{0, 0, 1, 1}));
  fleet.Override(OverrideMode::kNone, kProvider);
  fleet.Override(OverrideMode::kObserveOnly, Fleet::kTarget);
  EXPECT_EQ(shown(fleet), HealthState::kObserveOnly);
  fleet.Override(OverrideMode::kForcedOpen, kProvider);
  EXPECT_EQ(is_askable(fleet), Askable::kNo);
}

TEST(OperatorOverrideTest, ResetForgetsFactsAndKeepsOverrides) {
  Ruled fleet;
  fleet.Trip();
  fleet.Attempt(OutcomeKind::kQuotaExhausted);
  fleet.Override(OverrideMode::kForcedOpen);
  ASSERT_TRUE(fleet.Reset(kProvider));
  EXPECT_EQ(fleet.State(), HealthState::kForcedOpen);
  fleet.Override(OverrideMode::kNone);
  EXPECT_EQ(fleet.State(), HealthState::kHealthy);
  EXPECT_EQ(fleet.ProviderState(), HealthState::kHealthy);
  EXPECT_EQ(fleet.Ask().decisions[0].decision, Decision::kAdmit);

  fleet.table.Relearn("gw", {Fleet::kTarget, RefusalReason::kRateLimited, 10s}, fleet.Now());
  EXPECT_EQ(fleet.State(), HealthState::kHealthy) << "no gateway's memory brings it back";
}

TEST(OperatorOverrideTest, AResetIsToldInTheHistory) {
  Ruled fleet;
  fleet.Trip();
  fleet.Reset();
  EXPECT_EQ(fleet.View().history.back().to, HealthState::kHealthy);
  EXPECT_EQ(fleet.View().history.back().why, "An operator has reset it: Paid.");
}

TEST(OperatorOverrideTest, OnlyWhatIsKnownUnlessToldOtherwise) {
  TableSettings settings;
  settings.max_targets = 1;
  Ruled fleet(settings);
  EXPECT_FALSE(fleet.Override(OverrideMode::kForcedOpen));
  EXPECT_FALSE(fleet.Reset());
  OverrideOrder order{.name = Fleet::kTarget,
                      .mode = OverrideMode::kForcedOpen,
                      .length = 1h,
                      .may_be_unknown = true};
  EXPECT_TRUE(fleet.table.Override(order, fleet.Now()));
  EXPECT_EQ(fleet.Ask().granted_index, -1);
  order.name = kOther;
  EXPECT_FALSE(fleet.table.Override(order, fleet.Now())) << "nothing forgets an override";
}

TEST(OperatorOverrideTest, SurvivesARestartForNoLongerThanItsRest) {
  for (const TargetName& level : {Fleet::kTarget, kProvider}) {
    Ruled before;
    before.Trip();
    before.table.TakeConsequences(before.now);
    before.Override(OverrideMode::kForcedOpen, level);
    const auto records = before.table.TakeConsequences(before.now);
    ASSERT_EQ(records.size(), 1u);

    Ruled after;
    for (const KeyRecord& record : records) after.table.Restore(record, 20min, after.now);
    const Verdict refused = after.Ask();
    EXPECT_EQ(refused.decisions[0].reason, RefusalReason::kDrained);
    EXPECT_GE(refused.retry_after, 40min);
    EXPECT_LE(refused.retry_after, 40min + 1s);
    EXPECT_EQ(after.View(level).cause.why, "An operator has taken it out: Maintenance.");

    Ruled later;
    for (const KeyRecord& record : records) later.table.Restore(record, 1h, later.now);
    EXPECT_EQ(later.Ask().granted_index, 0);
  }
}

TEST(OperatorOverrideTest, ReplicasReadIt) {
  Ruled one, two;
  one.table.BeginSharing(1);
  two.table.BeginSharing(2);
  one.Ask();
  const auto copy = [&] {
    for (const FieldName& name : one.table.FieldsOf({DocumentKind::kProvider, "openai"})) {
      const auto bytes = one.table.WriteField(name, StateScope::kWhole).bytes;
      ASSERT_TRUE(two.table.ReadField(name, bytes, 0us, two.now));
    }
  };
  const FieldName field{{DocumentKind::kProvider, "openai"}, "t:gpt"};
  EXPECT_EQ(one.table.WriteField(field, StateScope::kWhole).bytes[0], 1)
      << "without an override, what earlier versions read";
  one.Override(OverrideMode::kForcedOpen);
  copy();
  EXPECT_EQ(two.Ask().decisions[0].reason, RefusalReason::kDrained);
  EXPECT_EQ(two.View().cause.why, one.View().cause.why);
  one.Override(OverrideMode::kNone);
  copy();
  EXPECT_EQ(two.Ask().granted_index, 0);
}

TEST(OperatorOverrideTest, OfTwoReplicasTheLaterWordHoldsAlsoWhenItIsTheEnd) {
  Ruled store, replica;
  for (Ruled* fleet : {&store, &replica}) {
    fleet->table.BeginSharing(1);
    fleet->Ask();
    fleet->Override(OverrideMode::kForcedOpen);
    fleet->Wait(1s);
  }
  const auto old = store.table.FactsOf("openai", store.now);
  replica.Override(OverrideMode::kNone);
  for (const KeyRecord& record : replica.table.FactsOf("openai", replica.now)) {
    store.table.Reassert(record, store.now);
  }
  EXPECT_EQ(store.Ask().granted_index, 0);
  for (const KeyRecord& record : old) store.table.Reassert(record, store.now);
  EXPECT_EQ(store.Ask().granted_index, 0) << "an older word does not come back";
}

}  // namespace
}  // namespace ratelimitd
