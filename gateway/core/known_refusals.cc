#include "gateway/core/known_refusals.h"

#include <algorithm>
#include <utility>

namespace gateway {
namespace {

constexpr std::string_view kAuth = "auth";
constexpr std::chrono::milliseconds kDefaultBackoff{1000};
constexpr std::chrono::milliseconds kLongestBackoff{15 * 60 * 1000};

// The reason ratelimitd would give for a target with this failure; empty: it would not refuse it
// yet.
std::string_view ReasonFor(FailureKind kind) {
  switch (RuleFor(kind).charge) {
    case Charge::kRateLimited:
      return "backoff";
    case Charge::kQuotaExhausted:
      return "quota";
    case Charge::kAuthFailed:
      return kAuth;
    default:
      return "";
  }
}

}  // namespace

void KnownRefusals::Learn(const std::vector<RefusedTarget>& refused, common::MonotonicTime now) {
  for (const RefusedTarget& one : refused) {
    // These two are over before they could be told to anybody.
    if (one.reason == "probing" || one.reason == "ramping") continue;
    // And these say nothing of the target.
    if (one.reason == "client_limit" || one.reason == "retry_budget") continue;
    Remember(one.target, one.reason, now + one.retry_after, now);
  }
}

void KnownRefusals::LearnFailure(const common::Target& target, const Failure& failure,
                                 common::MonotonicTime now) {
  const std::string_view reason = ReasonFor(failure.kind);
  if (reason.empty()) return;
  const auto wait = std::clamp(failure.timing.retry_after.value_or(kDefaultBackoff),
                               kDefaultBackoff, kLongestBackoff);
  Remember(target, std::string(reason), now + wait, now);
}

void KnownRefusals::Forget(const common::Target& target) {
  if (!entries_.empty()) entries_.erase(target);
}

void KnownRefusals::ForgetCredential(std::string_view provider) {
  absl::erase_if(entries_, [&](const auto& entry) {
    return entry.first.provider == provider && entry.second.reason == kAuth;
  });
}

std::vector<RefusedTarget> KnownRefusals::Remaining(common::MonotonicTime now) const {
  std::vector<RefusedTarget> remaining;
  for (const auto& [target, entry] : entries_) {
    if (entry.until <= now) continue;
    remaining.push_back(
        {target, entry.reason, std::chrono::ceil<std::chrono::milliseconds>(entry.until - now)});
  }
  return remaining;
}

void KnownRefusals::Remember(const common::Target& target, std::string reason,
                             common::MonotonicTime until, common::MonotonicTime now) {
  if (entries_.size() >= kMaxTargets && !entries_.contains(target)) {
    absl::erase_if(entries_, [&](const auto& entry) { return entry.second.until <= now; });
    if (entries_.size() >= kMaxTargets) return;
  }
  Entry& entry = entries_[target];
  if (until < entry.until) return;
  entry = {std::move(reason), until};
}

}  // namespace gateway
