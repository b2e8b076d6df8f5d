// The circuit breaker of one provider or target. The table of its transitions opens breaker.cc.
// A pure state machine: facts and `now` give the state, there are no timers, so nothing can stick.
// Not thread-safe. Call Advance before anything else at a new `now`.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/failure_window.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

// What a report means to a breaker.
enum class Signal : uint8_t {
  kSuccess,
  kStarted,  // a stream began: proves a probe, is counted by its final report
  kAlive,    // an answer that is no success of the call, but proves that there is somebody
  kFailure,
  kNeutral,  // frees a probe's permit, teaches nothing
};

// A probe's permit, lent until a report comes or the lease runs out.
struct ProbeLease {
  Order order = 0;  // the token's number names the probe
  uint64_t reporter_id = 0;
  MonotonicTime at{};
  MonotonicTime until{};

  template <typename Archive>
  static void Exchange(Archive& archive, auto& lease) {
    archive.Number(lease.order);
    archive.Number(lease.reporter_id);
    archive.Time(lease.at);
    archive.Time(lease.until);
  }
};

class Breaker {
 public:
  enum class Phase : uint8_t { kClosed, kOpen, kHalfOpen, kRamping };
  // Whether the question is asked for a route on which everything else refuses.
  enum class Resort : uint8_t { kOrdinary, kLast };

  struct View {
    Decision decision = Decision::kAdmit;
    RefusalReason reason = RefusalReason::kNone;
    MonotonicTime until;  // when a refused caller would be admitted
    // Admitted by an operator's word: why it would else have been refused.
    RefusalReason overruled = RefusalReason::kNone;
  };

  // What survives a restart; durations count from the moment of reading.
  struct Record {
    Phase phase = Phase::kClosed;
    milliseconds remaining{0};  // of the opening or of the ramp
    milliseconds elapsed{0};    // since the opening or the start of the ramp
    int trips = 0;
    double rate_before = 0;
  };

  // Takes the transitions that time alone brings: openings that end, leases and ramps that run out.
  // `order` is the provider's counter. Returns whether the phase changed.
  bool Advance(const BreakerSettings& settings, const Moment& moment, Order& order);

  View Look(const BreakerSettings& settings, MonotonicTime now, Resort resort) const;

  // Commits what Look answered with an admission: counts it, paces the ramp or lends a probe under
  // the number `lease.order`.
  void Admit(const BreakerSettings& settings, MonotonicTime now, const ProbeLease& lease,
             Order& order);

  enum class Effect : uint8_t {
    kNone,     // counted at most
    kChanged,  // another phase
    kStale,    // from an older generation; ignored
  };
  // `quorum`: how many hosts must agree before a failure opens; 1 for targets.
  Effect OnSignal(const BreakerSettings& settings, Signal signal, const Evidence& evidence,
                  const Moment& moment, int quorum, Order& order);

  // The reporter's session is gone: its probes live for one more lease from now.
  void OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end);

  // Opens from a gateway's memory; only a closed breaker takes it. Returns whether it did.
  bool OpenUntil(MonotonicTime until, MonotonicTime now, Cause cause, Order& order);

  Record ToRecord(MonotonicTime now) const;
  // Never longer than recorded. `stamp_order` must be at least 1.
  void Restore(const Record& record, MonotonicTime now, Cause cause, Order stamp_order);

  Phase phase() const { return phase_; }
  // Whether forgetting this breaker would lose nothing.
  bool IsIdle(MonotonicTime now, const BreakerSettings& settings) const;
  // End of the opening or the ramp; otherwise meaningless.
  MonotonicTime until() const { return until_; }
  const Stamp& stamp() const { return stamp_; }
  const Cause& cause() const { return cause_; }
  int probes_out() const { return static_cast<int>(probes_.size()); }
  bool HasLeaseOf(uint64_t reporter_id) const {
    return std::any_of(probes_.begin(), probes_.end(),
                       [&](const ProbeLease& probe) { return probe.reporter_id == reporter_id; });
  }
  const FailureWindow& window() const { return window_; }
  FailureWindow& window() { return window_; }

  template <typename Archive>
  static void Exchange(Archive& archive, auto& breaker) {
    archive.Choice(breaker.phase_, Phase::kRamping);
    Stamp::Exchange(archive, breaker.stamp_);
    archive.Time(breaker.until_);
    archive.Number(breaker.trips_, kHighestCount);
    archive.Time(breaker.closed_since_);
    archive.Real(breaker.rate_before_);
    archive.Time(breaker.next_in_ramp_);
    archive.Number(breaker.consecutive_, kHighestCount);
    archive.Number(breaker.probe_successes_, kHighestCount);
    archive.Number(breaker.lost_in_a_row_, kHighestCount);
    archive.List(breaker.probes_, kMaxListed,
                 [&](auto& probe) { ProbeLease::Exchange(archive, probe); });
    const auto exchange_seen = [&](auto& seen) {
      archive.Number(seen.id);
      archive.Time(seen.at);
    };
    archive.List(breaker.lumps_, kMaxListed, exchange_seen);
    archive.List(breaker.failing_hosts_, kMaxListed, exchange_seen);
    Cause::Exchange(archive, breaker.cause_);
    FailureWindow::Exchange(archive, breaker.window_);
  }

 private:
  static constexpr uint64_t kHighestCount = 1'000'000;
  static constexpr size_t kMaxListed = 1000;

  struct Seen {
    uint64_t id = 0;
    MonotonicTime at;
  };

  void Open(const BreakerSettings& settings, MonotonicTime at, double chance, Cause cause,
            Order& order);
  // Whatever was counted belongs to the generation that ends.
  void ForgetCalls();
  void HalfOpen();
  void CloseTowardsRamp(const BreakerSettings& settings, MonotonicTime now, Cause cause,
                        Order& order);
  bool GiveUpLostProbes(const BreakerSettings& settings, const Moment& moment, Order& order);
  bool FreeProbe(Order order);
  Effect OnSignalWhileServing(const BreakerSettings& settings, Signal signal,
                              const Evidence& evidence, const Moment& moment, int quorum,
                              Order& order);
  Effect OnSignalWhileHalfOpen(const BreakerSettings& settings, Signal signal,
                               const Evidence& evidence, const Moment& moment, int quorum,
                               Order& order);
  void CountFailure(const BreakerSettings& settings, const Evidence& evidence, MonotonicTime now);
  std::optional<std::string> TripReason(const BreakerSettings& settings, const Evidence& evidence,
                                        MonotonicTime now, int quorum) const;
  bool HasQuorum(int quorum, MonotonicTime since) const;
  double RampRate(const BreakerSettings& settings, MonotonicTime now) const;

  Phase phase_ = Phase::kClosed;
  Stamp stamp_;  // of the last opening or closing: its order is the generation
  MonotonicTime until_;
  int trips_ = 0;  // openings not yet forgotten
  MonotonicTime closed_since_;
  double rate_before_ = 0;  // admissions a second before the trip
  MonotonicTime next_in_ramp_;
  int consecutive_ = 0;
  int probe_successes_ = 0;
  int lost_in_a_row_ = 0;
  std::vector<ProbeLease> probes_;
  std::vector<Seen> lumps_;          // last counted failure of a reporter
  std::vector<Seen> failing_hosts_;  // last failure of hosts that had no success since
  FailureWindow window_;
  Cause cause_;
};

}  // namespace ratelimitd
