// Transitions. "Serving" is CLOSED or RAMPING. Every opening and closing takes a new number: the
// generation; what was admitted under an older one changes nothing.
//
//   from       event                                         to         and
//   ---------  --------------------------------------------  ---------  ---------------------------
//   serving    failure: enough in a row, or of the window,   OPEN       doubled, jittered length
//              and seen by enough hosts
//   serving    success, answer                               same       row of failures ends
//   OPEN       any report                                    OPEN       nothing, ever
//   OPEN       its time is over                              HALF_OPEN
//   OPEN       last resort, open for the base length         HALF_OPEN  for that ask
//   HALF_OPEN  ask, permit free                              HALF_OPEN  lends the permit
//   HALF_OPEN  probe's success or stream start, not enough   HALF_OPEN  permit freed
//   HALF_OPEN  probe's success or stream start, enough       RAMPING    from a tenth of its rate
//   HALF_OPEN  probe's answer (a 429, a quota error ...)     RAMPING    somebody is alive
//   HALF_OPEN  failure, seen by enough hosts                 OPEN       doubled again
//   HALF_OPEN  failure, too few hosts; neutral outcome       HALF_OPEN  permit freed
//   HALF_OPEN  a lease runs out                              HALF_OPEN  permit freed
//   HALF_OPEN  the third lease in a row runs out             OPEN       doubled again
//   RAMPING    its time is over                              CLOSED
#include "ratelimitd/core/breaker.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ratelimitd/core/delay.h"

namespace ratelimitd {
namespace {

constexpr int kLostProbesThatReopen = 3;
// Reporters and hosts remembered per breaker: enough for any quorum and burst, and a bound.
constexpr size_t kMaxSeen = 64;
// A thin route is not paced to death: the ramp starts at one admission a second or more.
constexpr double kLowestRateBefore = 10.0;
constexpr double kRampStart = 0.1;
// How far the ramp may run ahead of its pace, so that asks arriving in one batch are not refused.
constexpr milliseconds kRampTolerance{100};

template <typename SeenList>
void Remember(SeenList& list, uint64_t id, MonotonicTime at) {
  for (auto& seen : list) {
    if (seen.id == id) {
      seen.at = std::max(seen.at, at);
      return;
    }
  }
  if (list.size() == kMaxSeen) {
    const auto by_age = [](const auto& a, const auto& b) { return a.at < b.at; };
    list.erase(std::min_element(list.begin(), list.end(), by_age));
  }
  list.push_back({id, at});
}

}  // namespace

bool Breaker::Advance(const BreakerSettings& settings, const Moment& moment, Order& order) {
  if (phase_ == Phase::kClosed) return false;
  if (phase_ == Phase::kRamping && moment.now >= until_) {
    phase_ = Phase::kClosed;
    closed_since_ = until_;
    cause_ = {"Recovered.", ""};
    return true;
  }
  if (phase_ == Phase::kOpen && moment.now >= until_) {
    HalfOpen();
    return true;
  }
  return phase_ == Phase::kHalfOpen && GiveUpLostProbes(settings, moment, order);
}

bool Breaker::GiveUpLostProbes(const BreakerSettings& settings, const Moment& moment,
                               Order& order) {
  const auto is_lost = [&](const ProbeLease& probe) { return probe.until <= moment.now; };
  lost_in_a_row_ += static_cast<int>(std::erase_if(probes_, is_lost));
  if (lost_in_a_row_ < kLostProbesThatReopen) return false;
  Open(settings, moment.now, moment.chance, {"Three probes in a row were never reported.", ""},
       order);
  return true;
}

Breaker::View Breaker::Look(const BreakerSettings& settings, MonotonicTime now,
                            Resort resort) const {
  switch (phase_) {
    case Phase::kClosed:
      return {};
    case Phase::kOpen: {
      const MonotonicTime last_resort = stamp_.at + settings.open;
      if (resort == Resort::kOrdinary) {
        return {Decision::kReject, RefusalReason::kBreakerOpen, until_};
      }
      if (now >= last_resort) return {.decision = Decision::kAdmitProbe, .until = now};
      return {Decision::kReject, RefusalReason::kBreakerOpen, std::min(until_, last_resort)};
    }
    case Phase::kHalfOpen: {
      if (probes_out() < settings.probes) return {.decision = Decision::kAdmitProbe, .until = now};
      MonotonicTime until = now + settings.open;
      for (const ProbeLease& probe : probes_) until = std::min(until, probe.until);
      return {Decision::kReject, RefusalReason::kProbesBusy, until};
    }
    case Phase::kRamping: {
      const MonotonicTime turn = next_in_ramp_ - kRampTolerance;
      if (turn <= now) return {};
      return {Decision::kReject, RefusalReason::kRamping, turn};
    }
  }
  return {};
}

void Breaker::Admit(const BreakerSettings& settings, MonotonicTime now, const ProbeLease& lease,
                    Order& order) {
  if (phase_ == Phase::kOpen) HalfOpen();
  if (phase_ == Phase::kHalfOpen) {
    order = std::max(order, lease.order);
    probes_.push_back(lease);
    return;
  }
  window_.Add(FailureWindow::Entry::kAdmission, now, settings.window);
  if (phase_ == Phase::kRamping) {
    const std::chrono::duration<double> pace(1.0 / RampRate(settings, now));
    next_in_ramp_ =
        std::max(next_in_ramp_, now) + std::chrono::duration_cast<MonotonicTime::duration>(pace);
  }
}

double Breaker::RampRate(const BreakerSettings& settings, MonotonicTime now) const {
  const double whole = std::chrono::duration<double>(settings.ramp).count();
  const double left = std::chrono::duration<double>(until_ - now).count();
  const double done = whole <= 0 ? 1.0 : std::clamp(1.0 - left / whole, 0.0, 1.0);
  return rate_before_ * (kRampStart + (1.0 - kRampStart) * done);
}

Breaker::Effect Breaker::OnSignal(const BreakerSettings& settings, Signal signal,
                                  const Evidence& evidence, const Moment& moment, int quorum,
                                  Order& order) {
  if (evidence.Predates(stamp_)) return Effect::kStale;
  switch (phase_) {
    case Phase::kOpen:
      return Effect::kNone;
    case Phase::kHalfOpen:
      return OnSignalWhileHalfOpen(settings, signal, evidence, moment, quorum, order);
    case Phase::kClosed:
    case Phase::kRamping:
      return OnSignalWhileServing(settings, signal, evidence, moment, quorum, order);
  }
  return Effect::kNone;
}

Breaker::Effect Breaker::OnSignalWhileServing(const BreakerSettings& settings, Signal signal,
                                              const Evidence& evidence, const Moment& moment,
                                              int quorum, Order& order) {
  switch (signal) {
    case Signal::kNeutral:
    case Signal::kStarted:
      return Effect::kNone;
    case Signal::kSuccess:
    case Signal::kAlive:
      consecutive_ = 0;
      std::erase_if(failing_hosts_, [&](const Seen& host) { return host.id == evidence.host_id; });
      window_.Add(FailureWindow::Entry::kSuccess, moment.now, settings.window);
      return Effect::kNone;
    case Signal::kFailure:
      break;
  }
  if (moment.now - evidence.happened_at >= settings.window) return Effect::kNone;
  CountFailure(settings, evidence, moment.now);
  const auto why = TripReason(settings, evidence, moment.now, quorum);
  if (!why) return Effect::kNone;
  Open(settings, moment.now, moment.chance, {*why, std::string(evidence.reporter)}, order);
  return Effect::kChanged;
}

Breaker::Effect Breaker::OnSignalWhileHalfOpen(const BreakerSettings& settings, Signal signal,
                                               const Evidence& evidence, const Moment& moment,
                                               int quorum, Order& order) {
  const bool had_permit = evidence.order.has_value() && FreeProbe(*evidence.order);
  if (had_permit) lost_in_a_row_ = 0;
  const std::string reporter(evidence.reporter);
  switch (signal) {
    case Signal::kNeutral:
      return Effect::kNone;
    case Signal::kSuccess:
    case Signal::kStarted:
      if (!had_permit || ++probe_successes_ < settings.probe_successes) return Effect::kNone;
      CloseTowardsRamp(settings, moment.now, {"Probes succeeded; traffic ramps up.", reporter},
                       order);
      return Effect::kChanged;
    case Signal::kAlive:
      if (!had_permit) return Effect::kNone;
      CloseTowardsRamp(settings, moment.now,
                       {absl::StrCat("A probe was answered (", DescribeEvidence(evidence),
                                     "); traffic ramps up."),
                        reporter},
                       order);
      return Effect::kChanged;
    case Signal::kFailure:
      break;
  }
  if (!evidence.order.has_value()) return Effect::kNone;
  Remember(failing_hosts_, evidence.host_id, moment.now);
  if (!HasQuorum(quorum, stamp_.at)) return Effect::kNone;
  Open(settings, moment.now, moment.chance,
       {absl::StrCat("A probe failed: ", DescribeEvidence(evidence), "."), reporter}, order);
  return Effect::kChanged;
}

void Breaker::CountFailure(const BreakerSettings& settings, const Evidence& evidence,
                           MonotonicTime now) {
  window_.Add(FailureWindow::Entry::kFailure, now, settings.window);
  Remember(failing_hosts_, evidence.host_id, evidence.happened_at);
  const auto is_over = [&](const Seen& s) { return evidence.happened_at - s.at >= settings.lump; };
  std::erase_if(lumps_, is_over);
  const auto is_same = [&](const Seen& s) { return s.id == evidence.reporter_id; };
  if (std::any_of(lumps_.begin(), lumps_.end(), is_same)) return;
  Remember(lumps_, evidence.reporter_id, evidence.happened_at);
  ++consecutive_;
}

std::optional<std::string> Breaker::TripReason(const BreakerSettings& settings,
                                               const Evidence& evidence, MonotonicTime now,
                                               int quorum) const {
  if (!HasQuorum(quorum, now - settings.window)) return std::nullopt;
  const std::string last = absl::StrCat(", the last: ", DescribeEvidence(evidence), ".");
  if (consecutive_ >= settings.consecutive) {
    return absl::StrCat(consecutive_, " failures in a row", last);
  }
  const WindowCounts counts = window_.CountsAt(now, settings.window);
  const double failures = static_cast<double>(counts.failures);
  if (counts.calls >= settings.min_calls &&
      failures >= settings.failure_rate * static_cast<double>(counts.calls)) {
    return absl::StrCat(counts.failures, " of the last ", counts.calls, " calls failed", last);
  }
  return std::nullopt;
}

bool Breaker::HasQuorum(int quorum, MonotonicTime since) const {
  if (quorum <= 1) return true;
  const auto is_recent = [&](const Seen& host) { return host.at >= since; };
  return std::count_if(failing_hosts_.begin(), failing_hosts_.end(), is_recent) >= quorum;
}

bool Breaker::FreeProbe(Order order) {
  return std::erase_if(probes_, [&](const ProbeLease& p) { return p.order == order; }) > 0;
}

void Breaker::Open(const BreakerSettings& settings, MonotonicTime at, double chance, Cause cause,
                   Order& order) {
  if (phase_ == Phase::kClosed) trips_ = DecayPerMinute(trips_, closed_since_, at);
  if (phase_ == Phase::kClosed) {
    rate_before_ = std::max(kLowestRateBefore, window_.AdmissionRateAt(at, settings.window));
  }
  const milliseconds length = Escalate(settings.open, 2, trips_, settings.open_max);
  ++trips_;
  phase_ = Phase::kOpen;
  stamp_ = {++order, at};
  until_ = at + Jitter(length, 0.75, 1.25, chance);
  cause_ = std::move(cause);
  ForgetCalls();
}

void Breaker::ForgetCalls() {
  window_.Clear();
  probes_.clear();
  lumps_.clear();
  failing_hosts_.clear();
  consecutive_ = 0;
}

void Breaker::HalfOpen() {
  phase_ = Phase::kHalfOpen;
  probe_successes_ = 0;
  lost_in_a_row_ = 0;
}

void Breaker::CloseTowardsRamp(const BreakerSettings& settings, MonotonicTime now, Cause cause,
                               Order& order) {
  phase_ = Phase::kRamping;
  stamp_ = {++order, now};
  until_ = now + settings.ramp;
  next_in_ramp_ = now;
  cause_ = std::move(cause);
  probes_.clear();
  failing_hosts_.clear();
}

void Breaker::OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end) {
  for (ProbeLease& probe : probes_) {
    if (probe.reporter_id == reporter_id) probe.until = std::min(probe.until, lease_end);
  }
}

bool Breaker::OpenUntil(MonotonicTime until, MonotonicTime now, Cause cause, Order& order) {
  if (phase_ == Phase::kOpen && until > until_) {
    until_ = until;
    return true;
  }
  if (phase_ != Phase::kClosed || until <= now) return false;
  rate_before_ = kLowestRateBefore;
  phase_ = Phase::kOpen;
  stamp_ = {++order, now};
  until_ = until;
  cause_ = std::move(cause);
  trips_ = std::max(trips_, 1);
  ForgetCalls();
  return true;
}

Breaker::Record Breaker::ToRecord(MonotonicTime now) const {
  Record record{
      .phase = phase_,
      .trips = phase_ == Phase::kClosed ? DecayPerMinute(trips_, closed_since_, now) : trips_,
      .rate_before = rate_before_};
  if (phase_ == Phase::kClosed) return record;
  record.remaining = std::max(milliseconds(0), std::chrono::ceil<milliseconds>(until_ - now));
  record.elapsed = std::chrono::floor<milliseconds>(now - stamp_.at);
  return record;
}

void Breaker::Restore(const Record& record, MonotonicTime now, Cause cause, Order stamp_order) {
  // What was counted and lent belongs to the generation that ends.
  ForgetCalls();
  probe_successes_ = 0;
  lost_in_a_row_ = 0;
  phase_ = record.phase;
  stamp_ = {stamp_order, now - record.elapsed};
  until_ = now + record.remaining;
  trips_ = record.trips;
  closed_since_ = now;
  rate_before_ = std::max(kLowestRateBefore, record.rate_before);
  next_in_ramp_ = now;
  cause_ = std::move(cause);
}

bool Breaker::IsIdle(MonotonicTime now, const BreakerSettings& settings) const {
  return phase_ == Phase::kClosed && DecayPerMinute(trips_, closed_since_, now) == 0 &&
         window_.CountsAt(now, settings.window).failures == 0;
}

}  // namespace ratelimitd
