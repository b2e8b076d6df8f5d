#include "tests/simulation/breaker_watch.h"

#include <algorithm>
#include <utility>

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using Phase = Look::Phase;
using ratelimitd::BreakerSettings;
using ratelimitd::HealthState;
using ratelimitd::Level;

constexpr milliseconds kRounding = 2ms;
constexpr int kLostProbesThatReopen = 3;
constexpr double kLowestRateBefore = 10;
constexpr double kRampStart = 0.1;

enum class Meaning { kSuccess, kStarted, kAnswer, kFailure, kNeutral };

// The contract's table: what a report says about a target, and about its provider.
Meaning MeaningOf(Level level, OutcomeKind kind) {
  const bool is_target = level == Level::kTarget;
  switch (kind) {
    case OutcomeKind::kSuccess:
      return Meaning::kSuccess;
    case OutcomeKind::kStreamStarted:
      return Meaning::kStarted;
    case OutcomeKind::kRateLimited:
    case OutcomeKind::kQuotaExhausted:
    case OutcomeKind::kAuthFailed:
      return Meaning::kAnswer;
    case OutcomeKind::kOverloaded:
    case OutcomeKind::kUpstreamError:
    case OutcomeKind::kTimeout:
    case OutcomeKind::kMalformed:
    case OutcomeKind::kInterrupted:
      return is_target ? Meaning::kFailure : Meaning::kAnswer;
    case OutcomeKind::kUnreachable:
      return is_target ? Meaning::kNeutral : Meaning::kFailure;
    default:
      return Meaning::kNeutral;
  }
}

// A shared clock tells microseconds.
bool IsSameMoment(MonotonicTime a, MonotonicTime b) { return a - b <= 1us && b - a <= 1us; }

double Seconds(nanoseconds length) { return std::chrono::duration<double>(length).count(); }

}  // namespace

Look::Phase Look::phase() const {
  switch (state) {
    case HealthState::kOpen:
      return Phase::kOpen;
    case HealthState::kHalfOpen:
      return Phase::kHalfOpen;
    case HealthState::kBlocked:
      return Phase::kHidden;
    default:
      return Phase::kServing;
  }
}

std::optional<Finding> BreakerWatch::OnTime(const BreakerSettings& settings, const Change& change) {
  DropLostProbes(change.now);
  const Phase before = change.before.phase();
  const Phase after = change.after.phase();
  if (before == Phase::kHidden || after == Phase::kHidden) {
    if (before != after) return Finding{"I5", "time alone set or ended a block"};
    return std::nullopt;
  }
  if (before == Phase::kOpen && after == Phase::kOpen) {
    if (!IsSameMoment(change.before.until, change.after.until))
      return Finding{"I5", common::Concat("an opening's end moved by itself, by ",
                                          (change.after.until - change.before.until) / 1us, " us")};
    return std::nullopt;
  }
  if (before == after) return std::nullopt;
  if (before == Phase::kOpen && after == Phase::kHalfOpen) {
    if (change.now < change.before.until) return Finding{"I2", "half-open before its time"};
    lost_in_a_row_ = 0;
    successes_ = 0;
    return std::nullopt;
  }
  if (before == Phase::kHalfOpen && after == Phase::kOpen) {
    const bool is_known = !has_unknown_probes_ && !has_lost_track_;
    if (lost_in_a_row_ < kLostProbesThatReopen && is_known) {
      return Finding{"I8", common::Concat("reopened after ", lost_in_a_row_, " lost probes")};
    }
    return OnOpened(settings, change);
  }
  return Finding{"I5", common::Concat("time alone led from state ",
                                      ratelimitd::HealthStateName(change.before.state), " to ",
                                      ratelimitd::HealthStateName(change.after.state))};
}

std::optional<Finding> BreakerWatch::OnReport(const BreakerSettings& settings, const Told& told,
                                              Quorum quorum, const Change& change) {
  const bool was_probe = FreeProbe(told);
  const Phase after = change.after.phase();
  switch (change.before.phase()) {
    case Phase::kHidden:
      CountBehindBlock(settings, told, change.now);
      if (after != Phase::kHidden) OnUnblocked(settings, change);
      return std::nullopt;
    case Phase::kOpen:
      if (after == Phase::kHidden) return std::nullopt;
      if (after != Phase::kOpen) return Finding{"I5", "a report ended an opening"};
      if (!IsSameMoment(change.before.until, change.after.until)) {
        return Finding{"I5", "a report moved the end of an opening"};
      }
      return std::nullopt;
    case Phase::kHalfOpen:
      return OnReportWhileHalfOpen(settings, told, was_probe, quorum, change);
    case Phase::kServing:
      return OnReportWhileServing(settings, told, quorum, change);
  }
  return std::nullopt;
}

void BreakerWatch::OnUnblocked(const BreakerSettings& settings, const Change& change) {
  row_.least = 0;
  for (auto& [host, failure] : failing_hosts_) failure.is_sure = false;
  rate_before_ = std::max(rate_before_, kLowestRateBefore);
  has_unknown_probes_ = true;
  mark_.first = 0;
  mark_.last = change.turn;
  JoinRamp(settings, change.after, change.now);
}

void BreakerWatch::JoinRamp(const BreakerSettings& settings, const Look& look, MonotonicTime now) {
  const double whole = Seconds(settings.ramp);
  ramp_until_ = look.state == HealthState::kRamping ? look.until : MonotonicTime();
  ramp_done_at_start_ = std::clamp(whole - Seconds(look.until - now), 0.0, whole);
  ramp_grants_ = 0;
  last_ramp_grant_ = now;
}

std::optional<Finding> BreakerWatch::OnReportWhileHalfOpen(const BreakerSettings& settings,
                                                           const Told& told, bool was_probe,
                                                           Quorum quorum, const Change& change) {
  const Meaning meaning = MeaningOf(level_, told.kind);
  const Era era = EraOf(told, change.life, mark_);
  const bool is_of_this_life = told.grant != nullptr && told.grant->life == change.life;
  if (was_probe) lost_in_a_row_ = 0;
  const bool is_success = meaning == Meaning::kSuccess || meaning == Meaning::kStarted;
  if (was_probe && is_success) ++successes_;
  const bool is_enough = has_unknown_probes_ || successes_ >= settings.probe_successes;
  const bool is_proof = (is_success && is_enough) || meaning == Meaning::kAnswer;
  const bool is_failure = meaning == Meaning::kFailure && is_of_this_life && era != Era::kBefore;
  if (is_failure) failing_hosts_[told.host] = {change.now, era == Era::kAfter};
  switch (change.after.phase()) {
    case Phase::kHidden:
      return std::nullopt;
    case Phase::kServing:
      if (!is_proof || !(was_probe || has_unknown_probes_)) {
        return Finding{"I5", common::Concat("a report of ", OutcomeName(told.kind),
                                            " closed it without proof of a probe")};
      }
      OnClosed(settings, change);
      return std::nullopt;
    case Phase::kOpen:
      if (!is_failure) {
        return Finding{"I8", common::Concat("a report of ", OutcomeName(told.kind),
                                            " that is no probe's failure reopened it")};
      }
      if (FailingHosts(Era::kUnsure, mark_.at) < quorum.least) {
        return Finding{"I7", "too few hosts reopened it"};
      }
      return OnOpened(settings, change);
    case Phase::kHalfOpen:
      if (was_probe && meaning == Meaning::kAnswer) {
        return Finding{"I3", common::Concat("a probe was answered (", OutcomeName(told.kind),
                                            ") and it did not close towards the ramp")};
      }
      if (was_probe && is_success && successes_ >= settings.probe_successes) {
        return Finding{"I3", "enough probes succeeded and it did not close"};
      }
      if (was_probe && is_failure && quorum.most <= 1) {
        return Finding{"I8", "a probe failed and it did not reopen"};
      }
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Finding> BreakerWatch::OnReportWhileServing(const BreakerSettings& settings,
                                                          const Told& told, Quorum quorum,
                                                          const Change& change) {
  const Meaning meaning = MeaningOf(level_, told.kind);
  const Era era = EraOf(told, change.life, mark_);
  const bool is_recent = change.now - told.happened_at < settings.window + kRounding;
  const bool is_failure = meaning == Meaning::kFailure && era != Era::kBefore && is_recent;
  if (is_failure) CountFailure(settings, told, era, change.now);
  if (meaning == Meaning::kSuccess || meaning == Meaning::kAnswer) {
    CountAnswer(told, era, change.now);
  }
  if (meaning == Meaning::kNeutral && change.after.phase() == Phase::kServing &&
      (change.after.calls > change.before.calls ||
       change.after.failures > change.before.failures)) {
    return Finding{"I5", common::Concat("a neutral ", OutcomeName(told.kind), " was counted")};
  }
  switch (change.after.phase()) {
    case Phase::kHidden:
      return std::nullopt;
    case Phase::kHalfOpen:
      return Finding{"I8", "half-open without having been open"};
    case Phase::kOpen:
      if (!is_failure) {
        return Finding{"I8", common::Concat("a report of ", OutcomeName(told.kind),
                                            era == Era::kBefore ? " from an older generation" : "",
                                            " opened it")};
      }
      if (FailingHosts(Era::kUnsure, change.now - settings.window - kRounding) < quorum.least) {
        return Finding{"I7", common::Concat("opened by fewer than ", quorum.least, " hosts")};
      }
      if (!MayTrip(settings, change.now)) {
        const auto failures = std::count_if(calls_.begin(), calls_.end(),
                                            [](const Call& call) { return call.is_failure; });
        return Finding{"I8", common::Concat("opened by ", row_.most, " failures in a row, ",
                                            failures, " in ", calls_.size(), " calls")};
      }
      return OnOpened(settings, change);
    case Phase::kServing:
      if (is_failure && era == Era::kAfter && row_.least >= settings.consecutive &&
          FailingHosts(Era::kAfter, change.now - settings.window + kRounding) >= quorum.most) {
        return Finding{"I8", common::Concat(row_.least, " failures in a row did not open it")};
      }
      return std::nullopt;
  }
  return std::nullopt;
}

void BreakerWatch::CountFailure(const BreakerSettings& settings, const Told& told, Era era,
                                MonotonicTime now) {
  const bool is_sure = era == Era::kAfter && now - told.happened_at < settings.window - kRounding;
  calls_.push_back({now, true, is_sure});
  HostFailure& of_host = failing_hosts_[told.host];
  of_host.at = std::max(of_host.at, told.happened_at);
  of_host.is_sure |= is_sure;

  // At most: within the lump, those of one reporter count once. A shared clock tells microseconds.
  std::erase_if(lumps_, [&](const auto& lump) {
    return told.happened_at - lump.second >= settings.lump - 2us;
  });
  const bool is_lumped = std::any_of(lumps_.begin(), lumps_.end(),
                                     [&](const auto& lump) { return lump.first == told.reporter; });
  if (!is_lumped) {
    lumps_.emplace_back(told.reporter, told.happened_at);
    ++row_.most;
  }
  MonotonicTime& last = last_counted_[told.reporter];
  MonotonicTime& last_unsure = last_perhaps_counted_[told.reporter];
  if (!is_sure) {
    last_unsure = std::max(last_unsure, told.happened_at);
    return;
  }
  const MonotonicTime lump_ends = std::max(last, last_unsure) + settings.lump + kRounding;
  if (told.happened_at > lump_ends) ++row_.least;
  last = std::max(last, told.happened_at);
}

void BreakerWatch::CountBehindBlock(const BreakerSettings& settings, const Told& told,
                                    MonotonicTime now) {
  const Meaning meaning = MeaningOf(level_, told.kind);
  if (meaning == Meaning::kFailure) CountFailure(settings, told, Era::kUnsure, now);
  if (meaning == Meaning::kSuccess || meaning == Meaning::kAnswer) {
    CountAnswer(told, Era::kUnsure, now);
  }
}

void BreakerWatch::CountAnswer(const Told& told, Era era, MonotonicTime now) {
  if (era == Era::kBefore) return;
  calls_.push_back({now, false, era == Era::kAfter});
  row_.least = 0;
  const auto of_host = failing_hosts_.find(told.host);
  if (of_host != failing_hosts_.end()) of_host->second.is_sure = false;
  if (era != Era::kAfter) return;
  row_.most = 0;
  failing_hosts_.erase(told.host);
}

void BreakerWatch::CountAdmission(MonotonicTime now) {
  const bool is_maybe_first = std::exchange(is_next_maybe_first_, false) || fleet_.may_forget;
  admissions_.push_back({now, is_maybe_first});
  if (admissions_.size() > 4096) admissions_.pop_front();
}

bool BreakerWatch::MayTrip(const BreakerSettings& settings, MonotonicTime now) const {
  if (row_.most >= settings.consecutive) return true;
  const milliseconds bucket = settings.window / 12;
  int most_failures = 0, most_calls = 0, least_calls = 0;
  for (const Call& call : calls_) {
    if (now - call.at > settings.window + bucket) continue;
    ++most_calls;
    if (call.is_failure) ++most_failures;
    const bool is_news = now - call.at < fleet_.news_takes;
    const bool may_be_forgotten = !call.is_failure && (is_news || fleet_.may_forget);
    if (call.is_sure && !may_be_forgotten && now - call.at < settings.window - bucket)
      ++least_calls;
  }
  return most_calls >= settings.min_calls &&
         most_failures >= settings.failure_rate * static_cast<double>(least_calls);
}

int BreakerWatch::FailingHosts(Era surely, MonotonicTime since) const {
  return static_cast<int>(
      std::count_if(failing_hosts_.begin(), failing_hosts_.end(), [&](const auto& host) {
        return host.second.at >= since && (surely != Era::kAfter || host.second.is_sure);
      }));
}

std::optional<Finding> BreakerWatch::OnOpened(const BreakerSettings& settings,
                                              const Change& change) {
  if (change.before.state != HealthState::kRamping) {
    rate_before_ = std::max({kLowestRateBefore, rate_before_, RateBefore(change.now)});
  }
  mark_.Set(change.turn, change.now);
  ForgetCalls();
  const nanoseconds length = change.after.until - change.now;
  if (length < settings.open * 3 / 4 - kRounding ||
      length > settings.open_max * 5 / 4 + kRounding) {
    return Finding{"I5", common::Concat("opened for ", Seconds(length), " s")};
  }
  return std::nullopt;
}

// Whatever was counted belongs to the generation that ends.
void BreakerWatch::ForgetCalls() {
  row_ = {};
  calls_.clear();
  admissions_.clear();
  is_next_maybe_first_ = false;
  last_counted_.clear();
  last_perhaps_counted_.clear();
  lumps_.clear();
  failing_hosts_.clear();
  probes_.clear();
  has_unknown_probes_ = has_lost_track_ = false;
  successes_ = 0;
  lost_in_a_row_ = 0;
}

void BreakerWatch::OnClosed(const BreakerSettings& settings, const Change& change) {
  mark_.Set(change.turn, change.now);
  probes_.clear();
  has_unknown_probes_ = false;
  failing_hosts_.clear();
  rate_before_ = std::max(rate_before_, kLowestRateBefore);
  ramp_until_ = change.now + settings.ramp;
  ramp_done_at_start_ = 0;
  ramp_grants_ = 0;
  last_ramp_grant_ = MonotonicTime();
}

std::optional<Finding> BreakerWatch::OnGrant(const BreakerSettings& settings,
                                             const std::shared_ptr<const Grant>& grant,
                                             const std::string& reporter, MonotonicTime lease_end,
                                             const Change& change) {
  const Phase before = change.before.phase();
  const Phase after = change.after.phase();
  if (after == Phase::kHidden) return std::nullopt;
  if (after == Phase::kOpen) return Finding{"I2", "admitted while open"};
  if (before == Phase::kOpen) {
    // Only as a last resort, which is a probe.
    const MonotonicTime opened = mark_.at;
    if (mark_.first != 0 && change.now < opened + settings.open - kRounding) {
      return Finding{"I2", "the last resort came before the shortest opening was over"};
    }
    lost_in_a_row_ = 0;
    successes_ = 0;
  }
  if (after == Phase::kServing) {
    if (before != Phase::kServing) return Finding{"I5", "an admission closed it"};
    CountAdmission(change.now);
    if (change.after.state == HealthState::kRamping)
      return OnRampGrant(settings, change.after, change.now);
    return std::nullopt;
  }
  if (!grant->is_probe) return Finding{"I1", "half-open, and admitted without being a probe"};
  if (static_cast<int>(probes_.size()) >= settings.probes) {
    return Finding{"I1",
                   common::Concat("a probe was lent while ", probes_.size(), " were in flight")};
  }
  probes_.push_back({grant, reporter, lease_end});
  return std::nullopt;
}

std::optional<Finding> BreakerWatch::OnRampGrant(const BreakerSettings& settings, const Look& look,
                                                 MonotonicTime now) {
  const double whole = Seconds(settings.ramp);
  // It began behind something that hid it.
  if (look.until > ramp_until_ + kRounding) JoinRamp(settings, look, now);
  const double done = std::clamp(whole - Seconds(ramp_until_ - now), 0.0, whole);
  const auto admitted_after = [&](double seconds) {
    return rate_before_ * (kRampStart * seconds + (1 - kRampStart) / 2 * seconds * seconds / whole);
  };
  const double rate = rate_before_ * (kRampStart + (1 - kRampStart) * done / whole);
  const double most = 2 + 0.1 * rate + admitted_after(done) - admitted_after(ramp_done_at_start_);
  ++ramp_grants_;
  last_ramp_grant_ = now;
  if (ramp_grants_ <= most) return std::nullopt;
  return Finding{"I12", common::Concat(ramp_grants_, " admissions in the first ", done,
                                       " s of a ramp to ", rate_before_, " a second")};
}

void BreakerWatch::OnMemory(const Change& change) {
  if (change.before.phase() == Phase::kServing && change.after.phase() == Phase::kOpen) {
    rate_before_ = std::max(rate_before_, kLowestRateBefore);
    mark_.Set(change.turn, change.now);
    ForgetCalls();
  }
}

void BreakerWatch::Restore(const BreakerSettings& settings,
                           const ratelimitd::Breaker::Record& record, const Look& look,
                           MonotonicTime now, Turn turn) {
  Forget();
  rate_before_ = std::max(kLowestRateBefore, record.rate_before);
  if (record.phase == ratelimitd::Breaker::Phase::kClosed) return;
  // The opening or closing itself is older than this life; what is over may not have been put back.
  const bool is_over = look.phase() == Phase::kServing && look.state != HealthState::kRamping;
  mark_ = {is_over ? Turn{0} : Turn{1}, turn, MonotonicTime()};
  if (look.phase() == Phase::kHidden) has_unknown_probes_ = true;
  JoinRamp(settings, look, now);
}

void BreakerWatch::OnSessionEnded(const std::string& reporter, MonotonicTime lease_end) {
  for (Probe& probe : probes_) {
    if (probe.reporter != reporter) continue;
    // A replica other than the one that lent it may not know of the lease.
    if (fleet_.news_takes > 0ms) maybe_busy_until_ = std::max(maybe_busy_until_, probe.until);
    probe.until = std::min(probe.until, lease_end);
  }
}

void BreakerWatch::OnUnjudgedReport(const Told& told, MonotonicTime now) {
  const Meaning meaning = MeaningOf(level_, told.kind);
  if (meaning == Meaning::kSuccess || meaning == Meaning::kAnswer) {
    return CountAnswer(told, Era::kUnsure, now);
  }
  if (meaning != Meaning::kFailure) return;
  calls_.push_back({now, true, false});
  const MonotonicTime at = std::max(failing_hosts_[told.host].at, told.happened_at);
  failing_hosts_[told.host] = {std::max(at, now), false};
}

void BreakerWatch::OnUnjudgedGrant(MonotonicTime now) {
  CountAdmission(now);
  rate_before_ = std::max({kLowestRateBefore, rate_before_, RateBefore(now)});
}

void BreakerWatch::LoseTrack(const BreakerSettings& settings, const Look& look, MonotonicTime now,
                             Turn turn) {
  row_ = {.least = 0, .most = settings.consecutive};
  for (Call& call : calls_) call.is_sure = false;
  for (auto& [host, failure] : failing_hosts_) failure.is_sure = false;
  last_counted_.clear();
  last_perhaps_counted_.clear();
  // Whoever has lost a failure counts one of the same moment.
  lumps_.clear();
  probes_.clear();
  has_unknown_probes_ = has_lost_track_ = true;
  successes_ = 0;
  mark_ = {0, turn, MonotonicTime()};
  rate_before_ = std::max(kLowestRateBefore, rate_before_);
  JoinRamp(settings, look, now);
}

void BreakerWatch::OnClockStep(MonotonicTime now) {
  rate_before_ = std::max({kLowestRateBefore, rate_before_, RateBefore(now)});
  // Those that had not been told yet are told now.
  std::erase_if(admissions_,
                [&](const Admission& admission) { return now - admission.at > fleet_.news_takes; });
  for (Admission& admission : admissions_) admission.at = now;
  is_next_maybe_first_ = true;
}

void BreakerWatch::OnCountsLost(MonotonicTime now) {
  for (Call& call : calls_) {
    if (!call.is_failure && now - call.at < fleet_.news_takes) call.is_sure = false;
  }
}

bool BreakerWatch::MayBeBusy(const BreakerSettings& settings, MonotonicTime now) const {
  const auto in_flight = std::count_if(probes_.begin(), probes_.end(),
                                       [now](const Probe& probe) { return probe.until > now; });
  return has_unknown_probes_ || in_flight >= settings.probes || now < maybe_busy_until_;
}

bool BreakerWatch::MayBePaced(MonotonicTime now) const {
  const nanoseconds slowest = std::chrono::seconds(1);  // a tenth of the lowest rate
  return now <= last_ramp_grant_ + slowest;
}

void BreakerWatch::DropLostProbes(MonotonicTime now) {
  lost_in_a_row_ += static_cast<int>(
      std::erase_if(probes_, [now](const Probe& probe) { return probe.until <= now; }));
}

bool BreakerWatch::FreeProbe(const Told& told) {
  if (told.grant == nullptr) return false;
  return std::erase_if(probes_, [&](const Probe& probe) { return probe.grant == told.grant; }) > 0;
}

double BreakerWatch::RateBefore(MonotonicTime now) const {
  int admissions = 0;
  MonotonicTime first = now;
  const auto rate = [&] { return admissions / std::max(1.0, Seconds(now - first)); };
  double highest = 0;
  for (auto it = admissions_.rbegin(); it != admissions_.rend(); ++it) {
    // Those of a replica that tells of them late are counted late.
    if (now - it->at <= 60s + fleet_.news_takes) ++admissions;
    if (now - it->at <= 55s) first = it->at;
    if (it->is_maybe_first) highest = std::max(highest, rate());
  }
  return std::max(highest, rate());
}

}  // namespace simulation
