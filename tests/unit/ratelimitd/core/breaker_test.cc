#include "ratelimitd/core/breaker.h"

#include <gtest/gtest.h>

#include <functional>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;
using Phase = Breaker::Phase;
using Resort = Breaker::Resort;

constexpr MonotonicTime kStart{1h};

// A breaker and the one gateway that asks it; time moves only by Wait.
class Bench {
 public:
  void Wait(milliseconds step) {
    now += step;
    breaker.Advance(settings, {now, chance}, order);
    breaker.Advance(settings, {now, chance}, order);
  }
  Breaker::View Look(Resort resort = Resort::kOrdinary) const {
    return breaker.Look(settings, now, resort);
  }
  // Admits whatever Look says; the number of the token.
  Order Admit(uint64_t reporter = 1) {
    const ProbeLease lease{++order, reporter, now, now + settings.probe_lease};
    breaker.Admit(settings, now, lease, order);
    return lease.order;
  }
  Breaker::Effect Signal(ratelimitd::Signal signal, std::optional<Order> token, uint64_t host = 1) {
    const Evidence evidence{.kind = OutcomeKind::kUpstreamError,
                            .happened_at = now,
                            .order = token,
                            .reporter_id = host,
                            .host_id = host};
    return breaker.OnSignal(settings, signal, evidence, {now, chance}, quorum, order);
  }
  // One call, admitted and over.
  Breaker::Effect Call(ratelimitd::Signal signal, uint64_t host = 1) {
    return Signal(signal, Admit(host), host);
  }
  void Trip() {
    while (breaker.phase() == Phase::kClosed || breaker.phase() == Phase::kRamping) {
      Call(ratelimitd::Signal::kFailure);
      Wait(settings.lump);
    }
  }
  void HalfOpen() {
    Trip();
    Wait(settings.open_max * 2);
  }
  void Ramp() {
    HalfOpen();
    Call(ratelimitd::Signal::kAlive);
  }

  BreakerSettings settings;
  Breaker breaker;
  MonotonicTime now = kStart;
  Order order = 1;
  double chance = 0.5;
  int quorum = 1;
};

TEST(BreakerTest, TransitionsAreThoseOfTheTable) {
  using S = Signal;
  const auto nothing = [](Bench&) {};
  const auto trip = [](Bench& b) { b.Trip(); };
  const auto half_open = [](Bench& b) { b.HalfOpen(); };
  const auto ramp = [](Bench& b) { b.Ramp(); };
  const auto call = [](S signal) { return [signal](Bench& b) { b.Call(signal); }; };
  const auto twice = [](S signal) {
    return [signal](Bench& b) {
      b.Call(signal);
      b.Call(signal);
    };
  };
  const auto unasked = [](S signal) { return [signal](Bench& b) { b.Signal(signal, {}); }; };
  const auto lose_probes = [](int count) {
    return [count](Bench& b) {
      for (int i = 0; i < count; ++i) {
        b.Admit();
        b.Wait(b.settings.probe_lease);
      }
    };
  };
  struct {
    const char* name;
    std::function<void(Bench&)> given;
    std::function<void(Bench&)> event;
    Phase want;
  } cases[] = {
      {"closed: one failure", nothing, call(S::kFailure), Phase::kClosed},
      {"closed: enough failures", nothing, trip, Phase::kOpen},
      {"closed: success", nothing, call(S::kSuccess), Phase::kClosed},
      {"open: success", trip, unasked(S::kSuccess), Phase::kOpen},
      {"open: answer", trip, unasked(S::kAlive), Phase::kOpen},
      {"open: failure", trip, unasked(S::kFailure), Phase::kOpen},
      {"open: not yet over", trip, [](Bench& b) { b.Wait(4800ms); }, Phase::kOpen},
      {"open: over", trip, [](Bench& b) { b.Wait(5s); }, Phase::kHalfOpen},
      {"open: last resort", trip,
       [](Bench& b) {
         b.settings.open = 1s;
         b.Wait(1s);
         b.Admit();
       },
       Phase::kHalfOpen},
      {"half-open: first success", half_open, call(S::kSuccess), Phase::kHalfOpen},
      {"half-open: second success", half_open, twice(S::kSuccess), Phase::kRamping},
      {"half-open: second stream start", half_open, twice(S::kStarted), Phase::kRamping},
      {"half-open: answer", half_open, call(S::kAlive), Phase::kRamping},
      {"half-open: failure", half_open, call(S::kFailure), Phase::kOpen},
      {"half-open: neutral", half_open, call(S::kNeutral), Phase::kHalfOpen},
      {"half-open: success without a permit", half_open, unasked(S::kSuccess), Phase::kHalfOpen},
      {"half-open: failure without asking", half_open, unasked(S::kFailure), Phase::kHalfOpen},
      {"half-open: failure, too few hosts", half_open,
       [](Bench& b) {
         b.quorum = 2;
         b.Call(S::kFailure, 1);
       },
       Phase::kHalfOpen},
      {"half-open: failure, enough hosts", half_open,
       [](Bench& b) {
         b.quorum = 2;
         b.Call(S::kFailure, 1);
         b.Call(S::kFailure, 2);
       },
       Phase::kOpen},
      {"half-open: two probes lost", half_open, lose_probes(2), Phase::kHalfOpen},
      {"half-open: three probes lost", half_open, lose_probes(3), Phase::kOpen},
      {"ramping: success", ramp, call(S::kSuccess), Phase::kRamping},
      {"ramping: enough failures", ramp, trip, Phase::kOpen},
      {"ramping: over", ramp, [](Bench& b) { b.Wait(30s); }, Phase::kClosed},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bench bench;
    c.given(bench);
    c.event(bench);
    EXPECT_EQ(bench.breaker.phase(), c.want);
  }
}

TEST(BreakerTest, TripsByRowOrByRate) {
  struct {
    const char* name;
    int successes_between;
    int calls;
    Phase want;
  } cases[] = {{"four in a row", 0, 4, Phase::kClosed},
               {"five in a row", 0, 5, Phase::kOpen},
               {"every second, nine", 1, 9, Phase::kClosed},
               {"every second, enough", 1, 11, Phase::kOpen},
               {"every third", 2, 60, Phase::kClosed}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    Bench bench;
    for (int i = 0; i < c.calls; ++i) {
      const bool is_failure = i % (c.successes_between + 1) == 0;
      bench.Call(is_failure ? Signal::kFailure : Signal::kSuccess);
      bench.Wait(200ms);
    }
    EXPECT_EQ(bench.breaker.phase(), c.want);
  }
}

TEST(BreakerTest, FailuresOfOneReporterWithinTheLumpCountOnceInARow) {
  Bench bench;
  for (int i = 0; i < 9; ++i) bench.Call(Signal::kFailure);
  EXPECT_EQ(bench.breaker.phase(), Phase::kClosed);
  Bench fleet;
  for (uint64_t host = 1; host <= 5; ++host) fleet.Call(Signal::kFailure, host);
  EXPECT_EQ(fleet.breaker.phase(), Phase::kOpen);
}

TEST(BreakerTest, OldFailuresLeaveTheWindow) {
  Bench bench;
  for (int i = 0; i < 4; ++i) bench.Call(Signal::kFailure);
  bench.Wait(61s);
  EXPECT_EQ(bench.breaker.window().CountsAt(bench.now, bench.settings.window).calls, 0);
}

TEST(BreakerTest, QuorumNeedsHostsWithoutASuccessSince) {
  Bench bench;
  bench.quorum = 2;
  for (int i = 0; i < 20; ++i) {
    bench.Call(Signal::kFailure, 1);
    bench.Wait(200ms);
  }
  EXPECT_EQ(bench.breaker.phase(), Phase::kClosed) << "one host's broken egress opens nothing";
  bench.Call(Signal::kFailure, 2);
  EXPECT_EQ(bench.breaker.phase(), Phase::kOpen);
}

TEST(BreakerTest, HostThatSucceededIsNotCountedForTheQuorum) {
  Bench bench;
  bench.quorum = 2;
  bench.Call(Signal::kFailure, 2);
  bench.Call(Signal::kSuccess, 2);
  for (int i = 0; i < 20; ++i) {
    bench.Call(Signal::kFailure, 1);
    bench.Wait(200ms);
  }
  EXPECT_EQ(bench.breaker.phase(), Phase::kClosed);
}

TEST(BreakerTest, OpeningsDoubleWithJitterAndForgetByTheMinute) {
  Bench bench;
  bench.Trip();
  for (const milliseconds want :
       std::initializer_list<milliseconds>{5s, 10s, 20s, 40s, 80s, 160s, 300s, 300s}) {
    EXPECT_EQ(bench.breaker.until() - bench.breaker.stamp().at, want);
    bench.Wait(want);
    bench.Call(Signal::kFailure);
  }
  bench.Wait(300s);
  bench.Call(Signal::kAlive);
  bench.Wait(30s + 8min);
  bench.Trip();
  EXPECT_EQ(bench.breaker.until() - bench.breaker.stamp().at, 10s) << "nine trips less eight";
}

TEST(BreakerTest, OpeningIsJitteredByAQuarter) {
  for (const double chance : {0.0, 0.3, 0.999}) {
    Bench bench;
    bench.chance = chance;
    bench.Trip();
    const auto length = bench.breaker.until() - bench.breaker.stamp().at;
    EXPECT_GE(length, 3750ms);
    EXPECT_LE(length, 6250ms);
  }
}

TEST(BreakerTest, OneProbeAtATime) {
  Bench bench;
  bench.HalfOpen();
  ASSERT_EQ(bench.Look().decision, Decision::kAdmitProbe);
  const Order probe = bench.Admit();
  EXPECT_EQ(bench.Look().reason, RefusalReason::kProbesBusy);
  EXPECT_GT(bench.Look().until, bench.now);
  bench.Signal(Signal::kSuccess, probe);
  EXPECT_EQ(bench.Look().decision, Decision::kAdmitProbe);
}

TEST(BreakerTest, FinalReportOfAStreamedProbeDoesNotCountTwice) {
  Bench bench;
  bench.HalfOpen();
  const Order probe = bench.Admit();
  bench.Signal(Signal::kStarted, probe);
  bench.Signal(Signal::kSuccess, probe);
  EXPECT_EQ(bench.breaker.phase(), Phase::kHalfOpen);
}

TEST(BreakerTest, StreamedProbeThatBreaksReopens) {
  Bench bench;
  bench.HalfOpen();
  const Order probe = bench.Admit();
  bench.Signal(Signal::kStarted, probe);
  bench.Signal(Signal::kFailure, probe);
  EXPECT_EQ(bench.breaker.phase(), Phase::kOpen);
}

TEST(BreakerTest, EndOfASessionShortensOnlyItsOwnProbes) {
  Bench bench;
  bench.settings.probes = 2;
  bench.HalfOpen();
  bench.Admit(1);
  bench.Admit(2);
  bench.breaker.OnSessionEnded(1, bench.now + 1s);
  bench.Wait(1s);
  EXPECT_EQ(bench.breaker.probes_out(), 1);
}

TEST(BreakerTest, RampAdmitsAGrowingShareOfTheOldRate) {
  Bench bench;
  // 100 a second before the trip.
  for (int i = 0; i < 1000; ++i) {
    bench.Call(Signal::kSuccess);
    bench.Wait(10ms);
  }
  bench.Ramp();
  int admitted_first = 0, admitted_last = 0;
  for (int ms = 0; ms < 29'900; ++ms) {
    if (bench.Look().decision == Decision::kAdmit) {
      bench.Admit();
      if (ms < 3'000) ++admitted_first;
      if (ms >= 26'900) ++admitted_last;
    }
    bench.Wait(1ms);
  }
  EXPECT_NEAR(admitted_first / 3.0, 14, 5);
  EXPECT_NEAR(admitted_last / 3.0, 95, 12);
}

TEST(BreakerTest, RampRefusesWithItsPace) {
  Bench bench;
  bench.Ramp();
  while (bench.Look().decision == Decision::kAdmit) bench.Admit();
  EXPECT_EQ(bench.Look().reason, RefusalReason::kRamping);
  EXPECT_LE(bench.Look().until - bench.now, 2s) << "at least about one a second";
}

TEST(BreakerTest, LastResortWaitsForTheBaseLengthOnly) {
  Bench bench;
  bench.Trip();
  bench.Wait(5s);
  bench.Call(Signal::kFailure);
  ASSERT_EQ(bench.breaker.until() - bench.now, 10s);
  EXPECT_EQ(bench.Look(Resort::kLast).until - bench.now, 5s);
  bench.Wait(5s);
  EXPECT_EQ(bench.Look(Resort::kOrdinary).decision, Decision::kReject);
  EXPECT_EQ(bench.Look(Resort::kLast).decision, Decision::kAdmitProbe);
}

TEST(BreakerTest, FailuresFromBeforeARememberedOpeningDoNotCountAfterIt) {
  Bench bench;
  for (int i = 0; i < 4; ++i) {
    bench.Call(Signal::kFailure);
    bench.Wait(200ms);
  }
  ASSERT_TRUE(bench.breaker.OpenUntil(bench.now + 5s, bench.now, {}, bench.order));
  bench.Wait(5s);
  bench.Call(Signal::kAlive);
  ASSERT_EQ(bench.breaker.phase(), Phase::kRamping);
  for (int i = 0; i < 4; ++i) {
    bench.Call(Signal::kFailure);
    bench.Wait(200ms);
    EXPECT_EQ(bench.breaker.phase(), Phase::kRamping) << i;
  }
  bench.Call(Signal::kFailure);
  EXPECT_EQ(bench.breaker.phase(), Phase::kOpen);
}

TEST(BreakerTest, RecordKeepsWhatIsLeft) {
  Bench bench;
  bench.Trip();
  const auto left = bench.breaker.until() - bench.now;
  const Breaker::Record record = bench.breaker.ToRecord(bench.now);
  Bench restarted;
  restarted.now = MonotonicTime(7h);
  restarted.breaker.Restore(record, restarted.now, {"why", "gw"}, 1);
  EXPECT_EQ(restarted.breaker.phase(), Phase::kOpen);
  EXPECT_LE(restarted.breaker.until() - restarted.now, left + 1ms);
  EXPECT_GE(restarted.breaker.until() - restarted.now, left);
}

// As when a replica tells its opening again to one that has lent a probe.
TEST(BreakerTest, APermitOfTheGenerationBeforeARestoredOpeningWedgesNothing) {
  Bench elsewhere;
  elsewhere.Trip();
  Bench bench;
  bench.HalfOpen();
  bench.Admit();
  bench.breaker.Restore(elsewhere.breaker.ToRecord(elsewhere.now), bench.now, {"why", "gw"},
                        ++bench.order);
  ASSERT_EQ(bench.breaker.phase(), Phase::kOpen);
  bench.Wait(std::chrono::ceil<milliseconds>(bench.breaker.until() - bench.now));
  EXPECT_EQ(bench.Look().decision, Decision::kAdmitProbe);
}

TEST(BreakerTest, ARestoredHalfOpenBreakerWantsItsProbesAnew) {
  Bench elsewhere;
  elsewhere.HalfOpen();
  Bench bench;
  bench.HalfOpen();
  for (int i = 0; i < 2; ++i) bench.Call(Signal::kSuccess);
  bench.Wait(1min);
  bench.Look();
  ASSERT_EQ(bench.breaker.phase(), Phase::kClosed);
  bench.breaker.Restore(elsewhere.breaker.ToRecord(elsewhere.now), bench.now, {"why", "gw"},
                        ++bench.order);
  ASSERT_EQ(bench.breaker.phase(), Phase::kHalfOpen);
  bench.Call(Signal::kSuccess);
  EXPECT_EQ(bench.breaker.phase(), Phase::kHalfOpen);
  bench.Call(Signal::kSuccess);
  EXPECT_EQ(bench.breaker.phase(), Phase::kRamping);
}

}  // namespace
}  // namespace ratelimitd
