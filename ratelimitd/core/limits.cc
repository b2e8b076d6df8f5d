#include "ratelimitd/core/limits.h"

#include <algorithm>

namespace ratelimitd {
namespace {

// How long a caller waits for one of many running requests to end, as a guess.
constexpr milliseconds kPermitWait = std::chrono::seconds(1);

}  // namespace

int64_t TokensBeyondEstimate(const AttemptReport& report, int64_t estimate) {
  if (report.tokens_used > 0) return report.tokens_used - estimate;
  const bool may_have_used = report.kind == OutcomeKind::kSuccess ||
                             report.kind == OutcomeKind::kInterrupted ||
                             report.kind == OutcomeKind::kCancelled;
  return may_have_used ? 0 : -estimate;
}

Breaker::View Limits::Look(const LimitSettings& settings, int64_t cost_tokens, RefusalReason reason,
                           MonotonicTime now) {
  MonotonicTime ready = std::max(requests_.ReadyAt(settings.requests_per_minute, 1, now),
                                 tokens_.ReadyAt(settings.tokens_per_minute, cost_tokens, now));
  if (settings.concurrent > 0 && static_cast<int64_t>(permits_.size()) >= settings.concurrent) {
    absl::erase_if(permits_, [now](const auto& item) { return item.second.until <= now; });
    if (static_cast<int64_t>(permits_.size()) >= settings.concurrent) {
      ready = std::max(ready, now + kPermitWait);
    }
  }
  if (ready <= now) return {};
  return {Decision::kReject, reason, ready};
}

void Limits::Take(const LimitSettings& settings, const LimitCost& cost, const Lease& lease,
                  MonotonicTime now) {
  requests_.Take(settings.requests_per_minute, cost.requests, now);
  tokens_.Take(settings.tokens_per_minute, cost.tokens, now);
  if (settings.concurrent > 0 && lease.id != 0) {
    permits_[lease.id] = {lease.reporter_id, lease.until};
  }
}

LimitStatus Limits::Status(const LimitSettings& settings, MonotonicTime now) const {
  const auto status = [now](const Gcra& gcra, int64_t per_minute) -> LimitStatus::Of {
    if (per_minute == 0) return {};
    return {per_minute, gcra.Remaining(per_minute, now),
            std::chrono::ceil<milliseconds>(gcra.UntilFull(now))};
  };
  return {status(requests_, settings.requests_per_minute),
          status(tokens_, settings.tokens_per_minute)};
}

int64_t Limits::Running(MonotonicTime now) const {
  return std::count_if(permits_.begin(), permits_.end(),
                       [now](const auto& item) { return item.second.until > now; });
}

void Limits::Settle(const LimitSettings& settings, uint64_t lease_id, int64_t more_tokens,
                    MonotonicTime now) {
  permits_.erase(lease_id);
  tokens_.Take(settings.tokens_per_minute, more_tokens, now);
}

void Limits::OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end) {
  for (auto& [id, permit] : permits_) {
    if (permit.reporter_id == reporter_id) permit.until = std::min(permit.until, lease_end);
  }
}

bool Limits::IsIdle(MonotonicTime now) const {
  const auto is_over = [now](const auto& item) { return item.second.until <= now; };
  return requests_.IsIdle(now) && tokens_.IsIdle(now) &&
         std::all_of(permits_.begin(), permits_.end(), is_over);
}

}  // namespace ratelimitd
