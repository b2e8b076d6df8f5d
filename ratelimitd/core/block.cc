#include "ratelimitd/core/block.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ratelimitd/core/delay.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kShortestReset = std::chrono::seconds(1);
constexpr milliseconds kLongestReset = std::chrono::hours(24 * 35);
constexpr milliseconds kProbeInterval = std::chrono::hours(1);
constexpr milliseconds kProbesBusyWait = std::chrono::seconds(5);

Block::Kind KindOf(OutcomeKind outcome) {
  return outcome == OutcomeKind::kAuthFailed ? Block::Kind::kAuth : Block::Kind::kQuota;
}

}  // namespace

bool Block::Set(const BlockSettings& settings, const Evidence& evidence,
                std::optional<milliseconds> reset, const Moment& moment, Order order) {
  if (reset && (*reset < milliseconds(0) || *reset > kLongestReset)) reset.reset();
  const Kind kind = KindOf(evidence.kind);
  // Who did not ask does not know of the block; only a probe tells that it was too short.
  const bool has_not_asked = !evidence.order.has_value() && moment.now < until_;
  const bool is_same_event =
      IsSet() && !is_hearsay_ && (evidence.Predates(stamp_) || has_not_asked);
  if (is_same_event && !reset && kind == kind_) return false;
  if (!is_same_event) count_ = std::min(count_ + 1, 16);

  const milliseconds length = Length(settings, kind, reset);
  const MonotonicTime until = evidence.happened_at + length;
  if (until <= moment.now || (IsSet() && until <= until_)) return false;
  kind_ = kind;
  until_ = until;
  next_probe_ = moment.now + kProbeInterval;
  is_hearsay_ = false;
  stamp_ = {order, moment.now};
  cause_ = {
      absl::StrCat(kind == Kind::kAuth ? "The provider refuses our credential ("
                                       : "The account's quota is used up (",
                   DescribeEvidence(evidence), "); blocked for ", DescribeLength(length), "."),
      std::string(evidence.reporter)};
  return true;
}

milliseconds Block::Length(const BlockSettings& settings, Kind kind,
                           std::optional<milliseconds> reset) const {
  if (kind == Kind::kAuth) return settings.auth;
  if (reset) return std::max(*reset, kShortestReset);
  return Escalate(settings.quota, 4, count_ - 1, settings.quota_max);
}

bool Block::ClearBy(const Evidence& success, Order& order, MonotonicTime now) {
  if (!IsSet() || !success.Follows(stamp_)) return false;
  Clear(order, now);
  return true;
}

bool Block::ClearByCredential(Order& order, MonotonicTime now) {
  if (kind_ != Kind::kAuth) return false;
  Clear(order, now);
  return true;
}

void Block::Clear(Order& order, MonotonicTime now) {
  *this = Block();
  stamp_ = {++order, now};
}

Breaker::View Block::Look(MonotonicTime now) const {
  if (!IsSet()) return {};
  const MonotonicTime next = std::min(until_, next_probe_);
  const RefusalReason reason =
      kind_ == Kind::kAuth ? RefusalReason::kAuthFailed : RefusalReason::kQuotaExhausted;
  if (now < next) return {Decision::kReject, reason, next};
  if (!probe_) return {.decision = Decision::kAdmitProbe, .until = now};
  return {Decision::kReject, reason, std::min(probe_->until, now + kProbesBusyWait)};
}

void Block::Admit(const ProbeLease& lease) {
  if (!IsSet()) return;
  probe_ = lease;
  next_probe_ = lease.at + kProbeInterval;
}

void Block::FreeProbe(Order order, OutcomeKind kind, MonotonicTime now) {
  if (!probe_ || probe_->order != order) return;
  probe_.reset();
  if (kind == OutcomeKind::kNotSent) next_probe_ = now;
}

void Block::GiveUpLostProbe(MonotonicTime now) {
  if (probe_ && probe_->until <= now) probe_.reset();
}

void Block::OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end) {
  if (probe_ && probe_->reporter_id == reporter_id) {
    probe_->until = std::min(probe_->until, lease_end);
  }
}

Block::Record Block::ToRecord(MonotonicTime now) const {
  if (!IsSet()) return {};
  using std::chrono::ceil;
  return {.kind = kind_,
          .remaining = std::max(milliseconds(0), ceil<milliseconds>(until_ - now)),
          .until_probe = std::max(milliseconds(0), ceil<milliseconds>(next_probe_ - now)),
          .elapsed = std::chrono::floor<milliseconds>(now - stamp_.at),
          .count = count_};
}

void Block::Restore(const Record& record, MonotonicTime now, Cause cause, Order stamp_order) {
  kind_ = record.kind;
  until_ = now + record.remaining;
  next_probe_ = now + record.until_probe;
  count_ = record.count;
  stamp_ = {stamp_order, now};
  cause_ = std::move(cause);
}

bool Block::RaiseTo(Kind kind, MonotonicTime until, MonotonicTime now, Cause cause, Order order) {
  if (until <= now || (IsSet() && until <= until_)) return false;
  kind_ = kind;
  until_ = until;
  next_probe_ = now + kProbeInterval;
  is_hearsay_ = true;
  stamp_ = {order, now};
  cause_ = std::move(cause);
  return true;
}

bool Block::Reassert(const Record& record, MonotonicTime now, Cause cause, Order order) {
  const MonotonicTime until = now + record.remaining;
  if (until <= now || (IsSet() && until <= until_)) return false;
  kind_ = record.kind;
  until_ = until;
  next_probe_ = std::max(next_probe_, now + record.until_probe);
  count_ = std::max(count_, record.count);
  is_hearsay_ = record.count == 0;
  stamp_ = {order, now - record.elapsed};
  cause_ = std::move(cause);
  return true;
}

}  // namespace ratelimitd
