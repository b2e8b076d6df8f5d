#include "ratelimitd/core/target_table.h"

#include <gtest/gtest.h>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

constexpr TargetName kFirst{"azure", "gpt"};
constexpr TargetName kSecond{"openai", "gpt"};

TEST(TargetTableTest, GrantsTheFirstTargetThatMayBeAsked) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask({kFirst}), 20s);
  const Verdict verdict = fleet.Ask({kFirst, kSecond});
  EXPECT_EQ(verdict.granted_index, 1);
  ASSERT_EQ(verdict.decisions.size(), 2u);
  EXPECT_EQ(verdict.decisions[0].reason, RefusalReason::kRateLimited);
  EXPECT_GT(verdict.decisions[0].retry_after, 0s);
  EXPECT_EQ(verdict.decisions[1].retry_after, 0s);
  EXPECT_EQ(verdict.retry_after, 0s);
}

TEST(TargetTableTest, RefusalTellsWhenTheFirstOfAllWouldBeAdmitted) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask({kFirst}), 60s);
  fleet.ReportLimit(fleet.Ask({kSecond}), 20s);
  const Verdict verdict = fleet.Ask({kFirst, kSecond});
  EXPECT_EQ(verdict.granted_index, -1);
  EXPECT_EQ(verdict.retry_after, 20s);
  EXPECT_TRUE(verdict.token.empty());
}

TEST(TargetTableTest, PeekTellsTheSameAndLeavesNoTrace) {
  Fleet fleet;
  const Verdict peek = fleet.Peek();
  EXPECT_EQ(peek.granted_index, 0);
  EXPECT_TRUE(peek.token.empty());
  EXPECT_EQ(fleet.table.Stats(fleet.Now()).targets, 0u);
  EXPECT_EQ(fleet.table.Stats(fleet.Now()).reporters, 0u);
  fleet.TripAndHalfOpen();
  EXPECT_EQ(fleet.Peek().decisions[0].decision, Decision::kAdmitProbe);
  EXPECT_EQ(fleet.Peek().decisions[0].decision, Decision::kAdmitProbe);
  EXPECT_EQ(fleet.Ask().decisions[0].decision, Decision::kAdmitProbe);
  EXPECT_EQ(fleet.Peek().decisions[0].decision, Decision::kReject);
}

TEST(TargetTableTest, AccountWideLimitHoldsForEveryModel) {
  Fleet fleet;
  auto report = fleet.Draft(fleet.Ask({kSecond}), OutcomeKind::kRateLimited);
  report.retry_after = 20s;
  report.limit_scope = LimitScope::kProvider;
  fleet.Report(report);
  EXPECT_EQ(fleet.Ask({{"openai", "other"}}).decisions[0].reason, RefusalReason::kRateLimited);
  EXPECT_EQ(fleet.Ask({kFirst}).granted_index, 0);
}

TEST(TargetTableTest, UnreachableOpensTheProviderAndOtherFailuresTheTarget) {
  Fleet unreachable;
  for (int i = 0; i < 5; ++i) {
    unreachable.Attempt(OutcomeKind::kUnreachable);
    unreachable.Wait(200ms);
  }
  EXPECT_EQ(unreachable.ProviderState(), HealthState::kOpen);
  EXPECT_EQ(unreachable.State(), HealthState::kHealthy);
  EXPECT_EQ(unreachable.Ask({{"openai", "other"}}).granted_index, -1);
  for (const OutcomeKind kind :
       {OutcomeKind::kOverloaded, OutcomeKind::kUpstreamError, OutcomeKind::kTimeout,
        OutcomeKind::kMalformed, OutcomeKind::kInterrupted}) {
    SCOPED_TRACE(OutcomeName(kind));
    Fleet failing;
    for (int i = 0; i < 5; ++i) {
      failing.Attempt(kind);
      failing.Wait(200ms);
    }
    EXPECT_EQ(failing.State(), HealthState::kOpen);
    EXPECT_EQ(failing.ProviderState(), HealthState::kHealthy);
  }
}

TEST(TargetTableTest, OneHostWithBrokenEgressOpensNothingWhileAnotherLives) {
  Fleet fleet;
  fleet.table.BeginSession("a:0", "pod-a", fleet.now);
  fleet.table.BeginSession("b:0", "pod-b", fleet.now);
  for (int i = 0; i < 30; ++i) {
    fleet.Attempt(OutcomeKind::kUnreachable, "a:0");
    fleet.Wait(200ms);
  }
  EXPECT_EQ(fleet.ProviderState(), HealthState::kHealthy);
  fleet.Attempt(OutcomeKind::kUnreachable, "b:0");
  EXPECT_EQ(fleet.ProviderState(), HealthState::kOpen);
}

TEST(TargetTableTest, NeutralOutcomesNeverCount) {
  for (const OutcomeKind kind : {OutcomeKind::kModelNotFound, OutcomeKind::kCallerError,
                                 OutcomeKind::kCancelled, OutcomeKind::kNotSent}) {
    Fleet fleet;
    for (int i = 0; i < 100; ++i) {
      fleet.Attempt(kind);
      fleet.Wait(200ms);
    }
    EXPECT_EQ(fleet.State(), HealthState::kHealthy);
    EXPECT_EQ(fleet.table.ViewOne(Fleet::kTarget, fleet.Now())->window.calls, 0);
  }
}

TEST(TargetTableTest, LastResortProbesARouteThatIsOpenAltogether) {
  Fleet fleet;
  fleet.chance = 0.5;
  fleet.Trip();
  fleet.Wait(5s);
  fleet.Attempt(OutcomeKind::kUpstreamError);
  ASSERT_EQ(fleet.State(), HealthState::kOpen);
  fleet.Wait(5s);
  const Verdict with_other = fleet.Ask({kSecond, kFirst});
  EXPECT_EQ(with_other.granted_index, 1) << "the other target may be asked";
  const Verdict alone = fleet.Ask({kSecond});
  EXPECT_EQ(alone.decisions[0].decision, Decision::kAdmitProbe);
}

TEST(TargetTableTest, LastResortDoesNotOverrideABackoff) {
  Fleet fleet;
  const Verdict before = fleet.Ask();
  fleet.Trip();
  fleet.ReportLimit(before, 60s);
  fleet.Wait(10s);
  EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kRateLimited);
}

TEST(TargetTableTest, SessionRenewsTheLeaseOfItsProbe) {
  Fleet fleet;
  fleet.TripAndHalfOpen();
  fleet.table.BeginSession("gw", "", fleet.now);
  EXPECT_EQ(fleet.Ask(LeaseKind::kSession, 10min).lease, 30s);
  fleet.Wait(5min);
  EXPECT_EQ(fleet.Peek().decisions[0].reason, RefusalReason::kProbesBusy);
  fleet.table.EndSession("gw", fleet.now);
  fleet.Wait(29s);
  EXPECT_EQ(fleet.Peek().decisions[0].reason, RefusalReason::kProbesBusy);
  fleet.Wait(1s);
  EXPECT_EQ(fleet.Peek().decisions[0].decision, Decision::kAdmitProbe);
}

TEST(TargetTableTest, ALostReportWedgesNothingWhateverTheAttemptWasAllowedToTake) {
  struct {
    const char* name;
    LeaseKind kind;
    milliseconds attempt_timeout;
    milliseconds want_lease;   // told to the gateway
    milliseconds want_permit;  // until somebody else may probe
  } const cases[] = {
      {"unknown", LeaseKind::kSession, 0ms, 30s, 5min + 30s},
      {"shorter than a lease", LeaseKind::kSession, 1s, 1s, 31s},
      {"longer", LeaseKind::kSession, 10min, 30s, 10min + 30s},
      {"absurd", LeaseKind::kSession, 24h, 30s, 1h + 30s},
      {"unknown, without a session", LeaseKind::kFixed, 0ms, 30s, 30s},
      {"shorter, without a session", LeaseKind::kFixed, 1s, 1s, 1s},
      {"absurd, without a session", LeaseKind::kFixed, 24h, 30s, 30s},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Fleet fleet;
    fleet.TripAndHalfOpen();
    fleet.table.BeginSession("gw", "", fleet.now);
    EXPECT_EQ(fleet.Ask(c.kind, c.attempt_timeout).lease, c.want_lease);
    fleet.Wait(c.want_permit - 1ms);
    EXPECT_EQ(fleet.Peek().decisions[0].reason, RefusalReason::kProbesBusy);
    fleet.Wait(1ms);
    EXPECT_EQ(fleet.Peek().decisions[0].decision, Decision::kAdmitProbe);
  }
}

TEST(TargetTableTest, ReportWithATokenOfAnotherLifeIsHarmless) {
  Fleet old_life;
  const Verdict grant = old_life.Ask();
  Fleet fleet({}, 8);
  fleet.Ask();
  auto report = fleet.Draft(grant, OutcomeKind::kRateLimited);
  report.retry_after = 20s;
  EXPECT_EQ(fleet.Report(report), AckStatus::kStale) << "it names no target";
  report.sequence_number = 100;
  report.target = Fleet::kTarget;
  EXPECT_EQ(fleet.Report(report), AckStatus::kApplied);
  EXPECT_EQ(fleet.State(), HealthState::kBackingOff);
}

TEST(TargetTableTest, ASuccessFromBeforeARestartDoesNotHideWhatFailedSince) {
  Fleet old_life;
  const Verdict grant = old_life.Ask();
  Fleet fleet({}, 8);
  for (int i = 0; i < 4; ++i) {
    fleet.Attempt(OutcomeKind::kUpstreamError);
    fleet.Wait(200ms);
  }
  auto report = fleet.Draft(grant, OutcomeKind::kSuccess);
  report.target = Fleet::kTarget;
  EXPECT_EQ(fleet.Report(report), AckStatus::kStale);
  fleet.Attempt(OutcomeKind::kUpstreamError);
  EXPECT_EQ(fleet.State(), HealthState::kOpen) << "five failures in a row";
}

TEST(TargetTableTest, GarbageTokensAreStale) {
  Fleet fleet;
  for (const char* token :
       {"x", "\x07\x00\x00\x00garbage", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    AttemptReport report{.reporter = "gw", .token = token, .kind = OutcomeKind::kUpstreamError};
    EXPECT_EQ(fleet.Report(report), AckStatus::kStale);
  }
}

TEST(TargetTableTest, AttemptMadeWithoutAskingStillTeaches) {
  Fleet fleet;
  auto report = fleet.Draft({}, OutcomeKind::kRateLimited);
  report.target = Fleet::kTarget;
  report.retry_after = 60s;
  report.age = 20s;
  EXPECT_EQ(fleet.Report(report), AckStatus::kApplied);
  EXPECT_EQ(fleet.Ask().retry_after, 40s);
}

TEST(TargetTableTest, ChangedCredentialLiftsAnAuthBlockAndTheSameDoesNot) {
  Fleet fleet;
  fleet.table.LearnCredential("openai", "aaaa", fleet.Now());
  fleet.Attempt(OutcomeKind::kAuthFailed);
  fleet.table.LearnCredential("openai", "aaaa", fleet.Now());
  EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kAuthFailed);
  fleet.table.LearnCredential("openai", "bbbb", fleet.Now());
  EXPECT_EQ(fleet.Ask().granted_index, 0);
}

TEST(TargetTableTest, ARefusalOfAnEarlierCredentialBlocksNothing) {
  Fleet fleet;
  fleet.table.LearnCredential("openai", "bbbb", fleet.Now());
  AttemptReport report = fleet.Draft(fleet.Ask(), OutcomeKind::kAuthFailed);
  report.credential_fingerprint = "aaaa";
  EXPECT_EQ(fleet.Report(report), AckStatus::kApplied);
  EXPECT_EQ(fleet.Ask().granted_index, 0);

  report = fleet.Draft(fleet.Ask(), OutcomeKind::kAuthFailed);
  report.credential_fingerprint = "bbbb";
  EXPECT_EQ(fleet.Report(report), AckStatus::kApplied);
  EXPECT_EQ(fleet.Ask().decisions[0].reason, RefusalReason::kAuthFailed);
}

TEST(TargetTableTest, RelearnsFromGatewaysByMaximum) {
  Fleet fleet;
  const auto relearn = [&](RefusalReason reason, milliseconds remaining) {
    fleet.table.Relearn("gw", {Fleet::kTarget, reason, remaining}, fleet.Now());
  };
  relearn(RefusalReason::kRateLimited, 30s);
  relearn(RefusalReason::kRateLimited, 10s);
  EXPECT_EQ(fleet.Ask().retry_after, 30s);
  relearn(RefusalReason::kQuotaExhausted, 20min);
  EXPECT_EQ(fleet.ProviderState(), HealthState::kBlocked);
}

TEST(TargetTableTest, GatewaysMemoryDoesNotOverrideWhatWasLearnedSince) {
  Fleet fleet;
  fleet.TripAndHalfOpen();
  fleet.Attempt(OutcomeKind::kSuccess);
  fleet.Attempt(OutcomeKind::kSuccess);
  ASSERT_EQ(fleet.State(), HealthState::kRamping);
  fleet.table.Relearn("gw", {Fleet::kTarget, RefusalReason::kBreakerOpen, 200s}, fleet.Now());
  EXPECT_EQ(fleet.State(), HealthState::kRamping);
}

TEST(TargetTableTest, EveryStateSurvivesARestart) {
  struct {
    const char* name;
    OutcomeKind kind;
    int times;
    HealthState want;
    HealthState want_provider;
  } cases[] = {
      {"backoff", OutcomeKind::kRateLimited, 1, HealthState::kBackingOff, HealthState::kHealthy},
      {"open", OutcomeKind::kTimeout, 5, HealthState::kOpen, HealthState::kHealthy},
      {"unreachable", OutcomeKind::kUnreachable, 5, HealthState::kHealthy, HealthState::kOpen},
      {"quota", OutcomeKind::kQuotaExhausted, 1, HealthState::kHealthy, HealthState::kBlocked},
      {"auth", OutcomeKind::kAuthFailed, 1, HealthState::kHealthy, HealthState::kBlocked},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Fleet fleet;
    for (int i = 0; i < c.times; ++i) {
      fleet.Wait(200ms);
      fleet.Attempt(c.kind);
    }
    Fleet restarted;
    restarted.Ask();
    for (const KeyRecord& record : fleet.table.TakeConsequences(fleet.now)) {
      restarted.table.Restore(record, 0ms, restarted.now);
    }
    EXPECT_EQ(restarted.State(), c.want);
    EXPECT_EQ(restarted.ProviderState(), c.want_provider);
    EXPECT_EQ(restarted.Ask().granted_index, -1);
    EXPECT_LE(restarted.Ask().retry_after, fleet.Ask().retry_after + 1ms);
  }
}

TEST(TargetTableTest, OnlyChangesAreConsequences) {
  Fleet fleet;
  fleet.Attempt(OutcomeKind::kSuccess);
  fleet.Attempt(OutcomeKind::kUpstreamError);
  EXPECT_TRUE(fleet.table.TakeConsequences(fleet.now).empty());
  fleet.Attempt(OutcomeKind::kRateLimited);
  EXPECT_EQ(fleet.table.TakeConsequences(fleet.now).size(), 1u);
  EXPECT_TRUE(fleet.table.TakeConsequences(fleet.now).empty());
}

TEST(TargetTableTest, HistoryTellsTheLastSixteenTransitionsWithTheirTime) {
  Fleet fleet;
  for (int i = 0; i < 20; ++i) {
    fleet.ReportLimit(fleet.Ask(), 1s);
    fleet.Wait(10s);
  }
  const auto view = *fleet.table.ViewOne(Fleet::kTarget, fleet.Now());
  ASSERT_EQ(view.history.size(), 16u);
  const Transition& last = view.history.back();
  EXPECT_EQ(last.from, HealthState::kBackingOff);
  EXPECT_EQ(last.to, HealthState::kHealthy);
  EXPECT_EQ(fleet.now - last.at, 9s) << "when its time was over, not when somebody looked";
  EXPECT_EQ(view.history[14].reporter, "gw");
}

TEST(TargetTableTest, ChangesSinceAVersionAreOnlyThose) {
  Fleet fleet;
  fleet.Ask({kFirst});
  fleet.Ask({kSecond});
  fleet.table.ViewChangedSince(0, fleet.Now());
  const uint64_t version = fleet.table.view_version();
  EXPECT_TRUE(fleet.table.ViewChangedSince(version, fleet.Now()).empty());
  fleet.ReportLimit(fleet.Ask({kFirst}), 5s);
  const auto changed = fleet.table.ViewChangedSince(version, fleet.Now());
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].provider, "azure");
  const uint64_t later = fleet.table.view_version();
  fleet.Wait(10s);
  EXPECT_EQ(fleet.table.ViewChangedSince(later, fleet.Now()).size(), 1u) << "time alone ends it";
}

TEST(TargetTableTest, ProviderIsAskableUnlessItOrAllItsTargetsRefuse) {
  Fleet fleet;
  EXPECT_FALSE(fleet.table.IsAskable("openai", fleet.Now()).has_value());
  fleet.Trip();
  EXPECT_EQ(fleet.table.IsAskable("openai", fleet.Now()), Askable::kNo);
  fleet.Ask({{"openai", "other"}});
  EXPECT_EQ(fleet.table.IsAskable("openai", fleet.Now()), Askable::kYes);
}

TEST(TargetTableTest, SettingsOfAProviderOverrideAndMayChange) {
  TableSettings settings;
  settings.providers["openai"].breaker.consecutive = 1;
  Fleet fleet(settings);
  fleet.Attempt(OutcomeKind::kTimeout);
  EXPECT_EQ(fleet.State(), HealthState::kOpen);
  settings.defaults.breaker.consecutive = 2;
  fleet.table.Configure(settings);
  fleet.Report(fleet.Ask({kFirst}), OutcomeKind::kTimeout);
  EXPECT_EQ(fleet.Ask({kFirst}).granted_index, 0);
  fleet.Wait(1s);
  fleet.Report(fleet.Ask({kFirst}), OutcomeKind::kTimeout);
  EXPECT_EQ(fleet.Ask({kFirst}).granted_index, -1);
}

TEST(TargetTableTest, ProbeOfAProviderIsFreedThoughItsTargetWasTheOldest) {
  Fleet fleet({.max_targets = 2});
  fleet.Attempt(OutcomeKind::kAuthFailed);
  fleet.Wait(1h);
  const Verdict probe = fleet.Ask();
  ASSERT_EQ(probe.decisions[0].decision, Decision::kAdmitProbe);
  for (const char* model : {"a", "b", "c", "d"}) fleet.Ask({{"azure", model}});
  fleet.Report(probe, OutcomeKind::kCancelled);
  EXPECT_EQ(fleet.Ask().decisions[0].decision, Decision::kAdmitProbe);
}

TEST(TargetTableTest, TableFullOfFactsAdmitsNewTargetsWithoutRememberingThem) {
  Fleet fleet({.max_targets = 4});
  for (const char* model : {"a", "b", "c", "d"})
    fleet.ReportLimit(fleet.Ask({{"openai", model}}), 60s);
  const Verdict verdict = fleet.Ask({{"openai", "e"}});
  EXPECT_EQ(verdict.granted_index, 0);
  EXPECT_EQ(fleet.Report(verdict, OutcomeKind::kSuccess), AckStatus::kStale);
  const TableStats stats = fleet.table.Stats(fleet.Now());
  EXPECT_EQ(stats.targets, 4u);
  EXPECT_EQ(stats.not_remembered, 1u);
}

// One model of a provider has backed off, another one is asked: it finds no room.
TEST(TargetTableTest, TargetThatFindsNoRoomStillTakesThePermitOfItsProvider) {
  const TargetName strange{"openai", "e"};
  for (const OutcomeKind cause : {OutcomeKind::kAuthFailed, OutcomeKind::kUnreachable}) {
    SCOPED_TRACE(OutcomeName(cause));
    Fleet fleet({.max_targets = 1});
    for (int i = 0; i < 5; ++i) {
      fleet.Attempt(cause);
      fleet.Wait(200ms);
    }
    fleet.Wait(1h);
    // A memory, since nobody may ask.
    fleet.table.Relearn("gw", {Fleet::kTarget, RefusalReason::kRateLimited, 60s}, fleet.Now());

    const Verdict probe = fleet.Ask({strange});
    ASSERT_EQ(probe.decisions[0].decision, Decision::kAdmitProbe);
    EXPECT_GT(probe.lease, 0s);
    EXPECT_EQ(fleet.Ask({strange}).granted_index, -1);
    EXPECT_EQ(fleet.table.Stats(fleet.Now()).targets, 1u);

    fleet.Report(probe, OutcomeKind::kCancelled);
    const Verdict next = fleet.Ask({strange});
    ASSERT_EQ(next.decisions[0].decision, Decision::kAdmitProbe);
    auto success = fleet.Draft(next, OutcomeKind::kSuccess);
    success.target = strange;
    fleet.Report(success);
    fleet.Report(fleet.Ask({strange}), OutcomeKind::kSuccess);
    EXPECT_EQ(fleet.Ask({strange}).decisions[0].decision, Decision::kAdmit);
  }
}

TEST(TargetTableTest, LimitOfTargetThatFindsNoRoomIsNotToldAsApplied) {
  const TargetName strange{"openai", "e"};
  Fleet fleet({.max_targets = 1});
  for (int i = 0; i < 5; ++i) {
    fleet.Attempt(OutcomeKind::kUnreachable);
    fleet.Wait(200ms);
  }
  fleet.Wait(1h);
  fleet.table.Relearn("gw", {Fleet::kTarget, RefusalReason::kRateLimited, 60s}, fleet.Now());
  const Verdict probe = fleet.Ask({strange});
  ASSERT_EQ(probe.decisions[0].decision, Decision::kAdmitProbe);

  // It proves the provider alive, which is remembered.
  auto limit = fleet.Draft(probe, OutcomeKind::kRateLimited);
  limit.retry_after = 60s;
  EXPECT_EQ(fleet.Report(limit), AckStatus::kStale);
  limit.limit_scope = LimitScope::kProvider;
  ++limit.sequence_number;
  EXPECT_EQ(fleet.Report(limit), AckStatus::kApplied);
}

TEST(TargetTableTest, TargetThatFindsNoRoomStillTakesFromTheLimits) {
  // The second one's provider finds none either.
  for (const TargetName& strange : {TargetName{"openai", "e"}, TargetName{"azure", "e"}}) {
    SCOPED_TRACE(strange.provider);
    Fleet fleet({.max_targets = 1});
    fleet.ReportLimit(fleet.Ask(), 60s);
    fleet.table.LearnClientLimits("team", {.concurrent = 1}, fleet.now);
    const auto ask = [&] {
      Verdict verdict;
      fleet.table.Admit({.reporter = "gw", .targets = {&strange, 1}, .client_name = "team"},
                        fleet.Now(), verdict);
      return verdict;
    };
    const Verdict grant = ask();
    ASSERT_EQ(grant.granted_index, 0);
    EXPECT_EQ(ask().granted_index, -1);
    fleet.Report(grant, OutcomeKind::kSuccess);
    EXPECT_EQ(ask().granted_index, 0);
  }
}

TEST(TargetTableTest, StatsTellTheMostSeriousStateOfAProviderAndItsTargets) {
  Fleet fleet;
  fleet.Trip();
  fleet.ReportLimit(fleet.Ask({{"openai", "other"}}), 60s);
  fleet.Report(fleet.Ask({{"azure", "gpt"}}), OutcomeKind::kSuccess);
  absl::flat_hash_map<std::string, HealthState> states;
  for (const auto& [provider, state] : fleet.table.Stats(fleet.Now()).provider_states)
    states[provider] = state;
  EXPECT_EQ(states, (absl::flat_hash_map<std::string, HealthState>{
                        {"openai", HealthState::kOpen}, {"azure", HealthState::kHealthy}}));
}

}  // namespace
}  // namespace ratelimitd
