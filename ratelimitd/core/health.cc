#include "ratelimitd/core/health.h"

#include <algorithm>
#include <array>

namespace ratelimitd {
namespace {

constexpr std::array<std::string_view, kHealthStates> kStateNames = {
    "unspecified", "healthy", "ramping",      "backing_off",   "half_open",
    "open",        "blocked", "observe_only", "forced_closed", "forced_open"};

// A target is charged with what the model's serving did; a provider only with being unreachable.
Signal SignalFor(Level level, OutcomeKind kind) {
  const bool is_target = level == Level::kTarget;
  switch (kind) {
    case OutcomeKind::kSuccess:
      return Signal::kSuccess;
    case OutcomeKind::kStreamStarted:
      return Signal::kStarted;
    case OutcomeKind::kRateLimited:
    case OutcomeKind::kQuotaExhausted:
    case OutcomeKind::kAuthFailed:
      return Signal::kAlive;
    case OutcomeKind::kOverloaded:
    case OutcomeKind::kUpstreamError:
    case OutcomeKind::kTimeout:
    case OutcomeKind::kMalformed:
    case OutcomeKind::kInterrupted:
      return is_target ? Signal::kFailure : Signal::kAlive;
    case OutcomeKind::kUnreachable:
      return is_target ? Signal::kNeutral : Signal::kFailure;
    case OutcomeKind::kModelNotFound:
    case OutcomeKind::kCallerError:
    case OutcomeKind::kCancelled:
    case OutcomeKind::kNotSent:
      return Signal::kNeutral;
  }
  return Signal::kNeutral;
}

// Every fact must admit; of several refusals the one that lasts longest is told.
Breaker::View Combine(const Breaker::View& a, const Breaker::View& b) {
  if (a.decision == Decision::kReject && b.decision == Decision::kReject) {
    return b.until > a.until ? b : a;
  }
  if (a.decision == Decision::kReject) return a;
  if (b.decision == Decision::kReject) return b;
  return a.decision == Decision::kAdmitProbe ? a : b;
}

// What was set before a reset is none of its facts any more.
void DropBefore(MonotonicTime reset_at, MonotonicTime now, HealthRecord& record) {
  if (now - record.backoff_elapsed < reset_at) record.backoff_remaining = milliseconds(0);
  if (now - record.breaker.elapsed < reset_at) record.breaker = {};
  if (now - record.block.elapsed < reset_at) record.block = {};
}

const Cause kHealthyAgain{"Healthy again.", ""};
const Cause kOverrideOver{"The override has ended.", ""};
const Cause kResetElsewhere{"An operator has reset it.", ""};
const Cause kNoCause;

}  // namespace

std::string_view HealthStateName(HealthState state) {
  return kStateNames[static_cast<size_t>(state)];
}

bool IsMoreSerious(HealthState a, HealthState b) {
  const auto rank = [](HealthState state) {
    switch (state) {
      case HealthState::kObserveOnly:
      case HealthState::kForcedClosed:
        return static_cast<int>(HealthState::kHealthy);
      default:
        return static_cast<int>(state);
    }
  };
  return rank(a) > rank(b) || (rank(a) == rank(b) && a > b);
}

bool HealthRecord::IsEmpty() const {
  return backoff_remaining == milliseconds(0) && breaker.phase == Breaker::Phase::kClosed &&
         block.kind == Block::Kind::kNone && credential_fingerprint.empty() &&
         ruling.mode == OverrideMode::kNone;
}

HealthRecord AgeRecord(HealthRecord record, milliseconds age) {
  age = std::max(age, milliseconds(0));
  const auto left = [age](milliseconds remaining) {
    return remaining > age ? remaining - age : milliseconds(0);
  };
  record.backoff_remaining = left(record.backoff_remaining);
  record.backoff_elapsed += age;
  record.breaker.remaining = left(record.breaker.remaining);
  record.breaker.elapsed += age;
  record.block.remaining = left(record.block.remaining);
  record.block.until_probe = left(record.block.until_probe);
  record.block.elapsed += age;
  record.ruling.remaining = left(record.ruling.remaining);
  if (record.ruling.since_word) *record.ruling.since_word += age;
  if (record.ruling.since_reset) *record.ruling.since_reset += age;
  return record;
}

bool Health::Advance(const HealthSettings& settings, const Moment& moment, Order& order) {
  bool must_store = false;
  const bool was_overridden = override_.IsSet();
  override_.Advance(moment.now);
  for (int i = 0; i < 2 && breaker_.Advance(settings.breaker, moment, order); ++i) {
    must_store = breaker_.phase() == Breaker::Phase::kOpen;
  }
  block_.GiveUpLostProbe(moment.now);
  Note(moment.now, true, was_overridden ? kOverrideOver : kHealthyAgain);
  return must_store;
}

Breaker::View Health::Look(const HealthSettings& settings, MonotonicTime now,
                           Breaker::Resort resort) const {
  Breaker::View view = breaker_.Look(settings.breaker, now, resort);
  if (block_.IsSet()) view = Combine(view, block_.Look(now));
  if (!backoff_.IsActive(now)) return view;
  return Combine(view, {Decision::kReject, RefusalReason::kRateLimited, backoff_.until()});
}

void Health::Admit(const HealthSettings& settings, const ProbeLease& lease, Order& order) {
  breaker_.Admit(settings.breaker, lease.at, lease, order);
  block_.Admit(lease);
  Note(lease.at, false);
}

Health::Effect Health::Learn(const HealthSettings& settings, const Evidence& evidence,
                             const AttemptReport& report, const Moment& moment, int quorum,
                             Order& order) {
  const bool is_limit_change = LearnLimits(settings, evidence, report, moment, order);
  const Breaker::Effect effect = LearnBreaker(settings, evidence, moment, quorum, order);
  const bool is_changed = is_limit_change || effect == Breaker::Effect::kChanged;
  if (is_changed) {
    has_learned_ = true;
    ++version_;
    Note(moment.now, false);
    return Effect::kChanged;
  }
  return effect == Breaker::Effect::kStale ? Effect::kStale : Effect::kCounted;
}

bool Health::LearnLimits(const HealthSettings& settings, const Evidence& evidence,
                         const AttemptReport& report, const Moment& moment, Order& order) {
  if (evidence.order.has_value()) {
    block_.FreeProbe(*evidence.order, report.kind, moment.now);
  }
  if (IsSuccess(evidence.kind)) {
    const bool ends_backoff = backoff_.ClearBy(evidence, moment.now);
    return block_.ClearBy(evidence, order, moment.now) || ends_backoff;
  }
  if (evidence.kind == OutcomeKind::kRateLimited) {
    const Level charged =
        report.limit_scope == LimitScope::kProvider ? Level::kProvider : Level::kTarget;
    return charged == level_ &&
           backoff_.Set(settings.backoff, evidence, report.retry_after, moment, ++order);
  }
  const bool is_block =
      evidence.kind == OutcomeKind::kQuotaExhausted || evidence.kind == OutcomeKind::kAuthFailed;
  return is_block && level_ == Level::kProvider &&
         block_.Set(settings.block, evidence, report.retry_after, moment, ++order);
}

Breaker::Effect Health::LearnBreaker(const HealthSettings& settings, const Evidence& evidence,
                                     const Moment& moment, int quorum, Order& order) {
  const Signal signal = SignalFor(level_, evidence.kind);
  const int hosts_needed = level_ == Level::kProvider ? quorum : 1;
  return breaker_.OnSignal(settings.breaker, signal, evidence, moment, hosts_needed, order);
}

bool Health::Relearn(RefusalReason reason, milliseconds remaining, const Evidence& teller,
                     const Moment& moment, Order& order) {
  if (has_learned_ || remaining <= milliseconds(0)) return false;
  const MonotonicTime until = moment.now + remaining;
  const Cause cause{"A gateway remembers this refusal from before the last restart.",
                    std::string(teller.reporter)};
  bool is_changed = false;
  if (reason == RefusalReason::kRateLimited && level_ == Level::kTarget) {
    is_changed = until > backoff_.until();
    backoff_.Restore(until, 1, {++order, moment.now}, cause);
  } else if (reason == RefusalReason::kBreakerOpen && level_ == Level::kTarget) {
    is_changed = breaker_.OpenUntil(until, moment.now, cause, order);
  } else if (level_ == Level::kProvider &&
             (reason == RefusalReason::kQuotaExhausted || reason == RefusalReason::kAuthFailed)) {
    const auto kind =
        reason == RefusalReason::kAuthFailed ? Block::Kind::kAuth : Block::Kind::kQuota;
    is_changed = block_.RaiseTo(kind, until, moment.now, cause, ++order);
  }
  if (!is_changed) return false;
  ++version_;
  Note(moment.now, false);
  return true;
}

bool Health::ClearByCredential(const Moment& moment, Order& order) {
  if (!block_.ClearByCredential(order, moment.now)) return false;
  ++version_;
  Note(moment.now, false);
  return true;
}

void Health::OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end) {
  breaker_.OnSessionEnded(reporter_id, lease_end);
  block_.OnSessionEnded(reporter_id, lease_end);
}

HealthRecord Health::ToRecord(MonotonicTime now) const {
  HealthRecord record{.breaker = breaker_.ToRecord(now),
                      .block = block_.ToRecord(now),
                      .cause = LearnedCauseAt(now),
                      .ruling = override_.ToRecord(now)};
  if (backoff_.IsActive(now)) {
    record.backoff_remaining = std::chrono::ceil<milliseconds>(backoff_.until() - now);
    record.backoff_elapsed = std::chrono::floor<milliseconds>(now - backoff_.stamp().at);
    record.backoff_count = backoff_.CountAt(now);
  }
  return record;
}

void Health::Restore(const HealthRecord& record, MonotonicTime now, Order& order) {
  ++order;
  if (record.backoff_remaining > milliseconds(0)) {
    backoff_.Restore(now + record.backoff_remaining, record.backoff_count, {order, now},
                     record.cause);
  }
  if (record.breaker.phase != Breaker::Phase::kClosed) {
    breaker_.Restore(record.breaker, now, record.cause, order);
  }
  if (record.block.kind != Block::Kind::kNone) {
    block_.Restore(record.block, now, record.cause, order);
  }
  if (record.ruling.remaining > milliseconds(0)) {
    override_.Set(record.ruling.mode, now + record.ruling.remaining, {order, now},
                  record.ruling.cause);
  }
  has_learned_ = true;
  Note(now, false);
}

void Health::TakeOverFrom(const Health& before, const HealthSettings& settings, MonotonicTime now) {
  version_ = before.version_ + 1;
  if (before.override_.stamp().order == override_.stamp().order) overruled_ = before.overruled_;
  if (breaker_.stamp().order > before.breaker_.stamp().order) return;
  window().AddFresh(before.window().fresh(), now, settings.breaker.window);
}

bool Health::Reassert(HealthRecord record, MonotonicTime reset_at, MonotonicTime now,
                      Order& order) {
  bool is_changed = false;
  if (override_.HearOfReset(record.ruling, now, order)) {
    ForgetBefore(override_.reset_at(), now);
    is_changed = true;
  }
  DropBefore(std::max(reset_at, override_.reset_at()), now, record);
  if (now + record.backoff_remaining > backoff_.until() &&
      record.backoff_remaining > milliseconds(0)) {
    backoff_.Restore(now + record.backoff_remaining, record.backoff_count,
                     {++order, now - record.backoff_elapsed}, record.cause);
    is_changed = true;
  }
  const Breaker::Record& breaker = record.breaker;
  const bool is_open = breaker.phase == Breaker::Phase::kOpen && breaker.remaining.count() > 0;
  const bool is_behind =
      is_open
          ? breaker_.phase() != Breaker::Phase::kOpen || breaker_.until() < now + breaker.remaining
          : breaker.phase != Breaker::Phase::kClosed && breaker_.phase() == Breaker::Phase::kClosed;
  if (is_behind) {
    breaker_.Restore(breaker, now, record.cause, ++order);
    is_changed = true;
  }
  if (record.block.kind != Block::Kind::kNone) {
    is_changed |= block_.Reassert(record.block, now, record.cause, ++order);
  }
  is_changed |= override_.HearOfWord(record.ruling, now, order);
  if (!is_changed) return false;
  has_learned_ = true;
  ++version_;
  Note(now, false);
  return true;
}

bool Health::ForgetBefore(MonotonicTime reset_at, MonotonicTime now) {
  const bool has_backoff = backoff_.IsActive(now) && backoff_.stamp().at < reset_at;
  const bool has_breaker =
      breaker_.phase() != Breaker::Phase::kClosed && breaker_.stamp().at < reset_at;
  const bool has_block = block_.IsSet() && block_.stamp().at < reset_at;
  if (has_backoff) backoff_ = Backoff();
  if (has_breaker) breaker_ = Breaker();
  if (has_block) block_ = Block();
  if (!has_backoff && !has_breaker && !has_block) return false;
  ++version_;
  Note(now, false, kResetElsewhere);
  return true;
}

void Health::Override(OverrideMode mode, MonotonicTime until, Cause cause, MonotonicTime now,
                      Order& order) {
  override_.Set(mode, until, {++order, now}, cause);
  overruled_ = 0;
  has_learned_ = true;
  ++version_;
  Note(now, false, cause);
}

void Health::Reset(Cause cause, MonotonicTime now, Order& order) {
  backoff_ = Backoff();
  breaker_ = Breaker();
  block_ = Block();
  override_.Reset({++order, now});
  has_learned_ = true;
  ++version_;
  Note(now, false, cause);
}

HealthState Health::StateAt(MonotonicTime now) const {
  switch (override_.mode()) {
    case OverrideMode::kForcedOpen:
      return HealthState::kForcedOpen;
    case OverrideMode::kForcedClosed:
      return HealthState::kForcedClosed;
    case OverrideMode::kObserveOnly:
      return HealthState::kObserveOnly;
    case OverrideMode::kNone:
      break;
  }
  return LearnedStateAt(now);
}

HealthState Health::LearnedStateAt(MonotonicTime now) const {
  if (block_.IsSet()) return HealthState::kBlocked;
  switch (breaker_.phase()) {
    case Breaker::Phase::kOpen:
      return HealthState::kOpen;
    case Breaker::Phase::kHalfOpen:
      return HealthState::kHalfOpen;
    case Breaker::Phase::kRamping:
    case Breaker::Phase::kClosed:
      break;
  }
  if (backoff_.IsActive(now)) return HealthState::kBackingOff;
  return breaker_.phase() == Breaker::Phase::kRamping ? HealthState::kRamping
                                                      : HealthState::kHealthy;
}

bool Health::IsIdle(const HealthSettings& settings, MonotonicTime now) const {
  return !override_.IsSet() && !block_.IsInForce(now) && !backoff_.IsActive(now) &&
         backoff_.CountAt(now) == 0 && breaker_.IsIdle(now, settings.breaker);
}

std::optional<MonotonicTime> Health::UntilAt(MonotonicTime now) const {
  return override_.IsSet() ? override_.until() : LearnedUntilAt(now);
}

std::optional<MonotonicTime> Health::LearnedUntilAt(MonotonicTime now) const {
  switch (LearnedStateAt(now)) {
    case HealthState::kBlocked:
      return block_.until();
    case HealthState::kOpen:
    case HealthState::kRamping:
      return breaker_.until();
    case HealthState::kBackingOff:
      return backoff_.until();
    default:
      return std::nullopt;
  }
}

const Cause& Health::CauseAt(MonotonicTime now) const {
  return override_.IsSet() ? override_.cause() : LearnedCauseAt(now);
}

const Cause& Health::LearnedCauseAt(MonotonicTime now) const {
  switch (LearnedStateAt(now)) {
    case HealthState::kBlocked:
      return block_.cause();
    case HealthState::kOpen:
    case HealthState::kHalfOpen:
    case HealthState::kRamping:
      return breaker_.cause();
    case HealthState::kBackingOff:
      return backoff_.cause();
    default:
      return kNoCause;
  }
}

std::optional<MonotonicTime> Health::since() const {
  if (history_.empty()) return std::nullopt;
  return history_.back().at;
}

void Health::Note(MonotonicTime now, bool is_time_driven) {
  Note(now, is_time_driven, kHealthyAgain);
}

void Health::Note(MonotonicTime now, bool is_time_driven, const Cause& when_healthy) {
  const HealthState state = StateAt(now);
  if (state != last_state_) {
    const Cause& cause = state == HealthState::kHealthy ? when_healthy : CauseAt(now);
    const MonotonicTime at = is_time_driven ? std::min(now, last_until_) : now;
    history_.push_back({at, last_state_, state, cause.why, cause.reporter});
    if (history_.size() > kMaxHistory) history_.erase(history_.begin());
    last_state_ = state;
    ++version_;
  }
  last_until_ = UntilAt(now).value_or(now);
}

}  // namespace ratelimitd
