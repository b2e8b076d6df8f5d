#include "ratelimitd/core/operator_override.h"

#include <algorithm>
#include <array>

#include "common/concat.h"

namespace ratelimitd {
namespace {

constexpr std::array<std::string_view, kOverrideModes> kModeNames = {
    "none", "observe_only", "forced_closed", "forced_open"};

// Records say milliseconds, so that what is told again may seem a little later than it was.
constexpr milliseconds kSameMoment{2};

std::optional<milliseconds> TimeSince(MonotonicTime at, MonotonicTime now) {
  if (at == MonotonicTime()) return std::nullopt;
  return std::chrono::floor<milliseconds>(now - at);
}

std::string Sentence(std::string_view what, std::string_view reason) {
  while (!reason.empty() && reason.back() == '.') reason.remove_suffix(1);
  return common::Concat("An operator ", what, ": ", reason, ".");
}

}  // namespace

std::string_view OverrideModeName(OverrideMode mode) {
  return kModeNames[static_cast<size_t>(mode)];
}

std::string DescribeOverride(OverrideMode mode, std::string_view reason) {
  switch (mode) {
    case OverrideMode::kForcedOpen:
      return Sentence("has taken it out", reason);
    case OverrideMode::kForcedClosed:
      return Sentence("lets everything pass", reason);
    case OverrideMode::kObserveOnly:
      return Sentence("lets everything pass and only observes", reason);
    case OverrideMode::kNone:
      break;
  }
  return Sentence("has ended the override", reason);
}

std::string DescribeReset(std::string_view reason) { return Sentence("has reset it", reason); }

void OperatorOverride::Set(OverrideMode mode, MonotonicTime until, const Stamp& stamp,
                           Cause cause) {
  mode_ = mode;
  until_ = until;
  began_ = stamp.at;
  stamp_ = stamp;
  cause_ = std::move(cause);
}

void OperatorOverride::Advance(MonotonicTime now) {
  if (IsSet() && now >= until_) mode_ = OverrideMode::kNone;
}

bool OperatorOverride::HearOfWord(const Record& record, MonotonicTime now, Order& order) {
  if (!record.since_word) return false;
  const MonotonicTime at = now - *record.since_word;
  if (at <= began_ + kSameMoment) return false;
  const MonotonicTime latest = std::max(at, stamp_.at);
  Set(record.mode, now + record.remaining, {++order, at}, record.cause);
  stamp_.at = latest;
  return true;
}

bool OperatorOverride::HearOfReset(const Record& record, MonotonicTime now, Order& order) {
  if (!record.since_reset) return false;
  const MonotonicTime at = now - *record.since_reset;
  if (at <= reset_at_ + kSameMoment) return false;
  reset_at_ = at;
  stamp_ = {++order, std::max(at, stamp_.at)};
  return true;
}

int OperatorOverride::Layout() const {
  if (reset_at_ != MonotonicTime()) return kResetLayout;
  return stamp_.order == 0 ? 1 : kFirstLayout;
}

OperatorOverride::Record OperatorOverride::ToRecord(MonotonicTime now) const {
  Record record;
  record.since_word = TimeSince(began_, now);
  record.since_reset = TimeSince(reset_at_, now);
  if (!IsSet() || until_ <= now) return record;
  record.mode = mode_;
  record.remaining = std::chrono::ceil<milliseconds>(until_ - now);
  record.cause = cause_;
  return record;
}

Breaker::View Overrule(const OperatorOverride* strongest, const Breaker::View& learned) {
  if (strongest == nullptr) return learned;
  const bool is_refused = learned.decision == Decision::kReject;
  if (strongest->mode() == OverrideMode::kForcedOpen) {
    const MonotonicTime later = is_refused ? learned.until : MonotonicTime();
    return {Decision::kReject, RefusalReason::kDrained, std::max(strongest->until(), later)};
  }
  if (!is_refused) return learned;
  return {.decision = Decision::kAdmit, .until = {}, .overruled = learned.reason};
}

}  // namespace ratelimitd
