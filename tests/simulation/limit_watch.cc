#include "tests/simulation/limit_watch.h"

#include <algorithm>
#include <set>

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::Decision;
using ratelimitd::LimitSettings;
using ratelimitd::RefusalReason;

constexpr nanoseconds kMinute = 1min;
constexpr nanoseconds kMostOwed = 1h;
constexpr milliseconds kRounding = 3ms;
// Told to who waits for another request to end.
constexpr milliseconds kPermitWait = 1s;

nanoseconds TimeOf(int64_t cost, int64_t per_minute) {
  return nanoseconds(
      static_cast<int64_t>(static_cast<double>(kMinute.count()) * static_cast<double>(cost) /
                           static_cast<double>(per_minute)));
}

// A limit in one number: until when what was taken is paid.
MonotonicTime Take(MonotonicTime paid_until, int64_t cost, int64_t per_minute, MonotonicTime at) {
  return std::min(std::max(paid_until, at) + TimeOf(cost, per_minute), at + kMostOwed);
}

MonotonicTime ReadyAt(MonotonicTime paid_until, int64_t cost, int64_t per_minute,
                      MonotonicTime now) {
  if (per_minute == 0 || paid_until <= now) return now;
  return std::max(now, paid_until + std::min(TimeOf(cost, per_minute), kMinute) - kMinute);
}

int64_t Left(MonotonicTime paid_until, int64_t per_minute, MonotonicTime now) {
  const nanoseconds owed = std::max<nanoseconds>(paid_until - now, 0ns);
  const double free = 1 - static_cast<double>(owed.count()) / static_cast<double>(kMinute.count());
  return std::max<int64_t>(0, static_cast<int64_t>(free * static_cast<double>(per_minute)));
}

}  // namespace

// Whoever was alone counts what he has admitted himself until he reads the store again.
bool LimitWatch::MustKnow(Where where, const Event& event) const {
  if (where.footing == Footing::kShared) return event.is_stored;
  const auto since = alone_since_.find(where.process);
  const auto index = static_cast<size_t>(&event - events_.data());
  return event.where.process == where.process && since != alone_since_.end() &&
         index >= since->second;
}

void LimitWatch::NoteFooting(Where where) {
  if (where.footing == Footing::kShared) {
    alone_since_.erase(where.process);
  } else {
    alone_since_.emplace(where.process, events_.size());
  }
}

LimitWatch::Range LimitWatch::PaidUntil(Where where, int64_t per_minute,
                                        int64_t Event::*cost) const {
  Range paid;
  if (per_minute == 0) return paid;
  for (const Event& event : events_) {
    const MonotonicTime least = Take(paid.least, event.*cost, per_minute, event.at);
    const MonotonicTime most = Take(paid.most, event.*cost, per_minute, event.at);
    if (MustKnow(where, event) && event.is_sure) {
      paid = {least, most};
    } else {
      paid = {std::min(paid.least, least), std::max(paid.most, most)};
    }
  }
  return paid;
}

void LimitWatch::CountRunning(Where where, MonotonicTime now, Expected& expected) const {
  std::set<uint64_t> may_be_over, must_be_over;
  for (const Event& event : events_) {
    if (!event.is_end) continue;
    may_be_over.insert(event.request);
    if (MustKnow(where, event) && event.is_sure) must_be_over.insert(event.request);
  }
  for (const Event& event : events_) {
    if (event.is_end || event.lease_end + kRounding < now) continue;
    if (!must_be_over.contains(event.request)) ++expected.most_running;
    const bool must_run = event.lease_end > now + kRounding && MustKnow(where, event);
    if (must_run && !may_be_over.contains(event.request)) ++expected.least_running;
  }
}

LimitWatch::Expected LimitWatch::Expect(const LimitSettings& limits, Where where, int64_t tokens,
                                        MonotonicTime now) const {
  Expected expected;
  const Range requests = PaidUntil(where, limits.requests_per_minute, &Event::requests);
  const Range tokens_paid = PaidUntil(where, limits.tokens_per_minute, &Event::tokens);
  const auto ready_at = [&](MonotonicTime Range::*bound) {
    return std::max(ReadyAt(requests.*bound, 1, limits.requests_per_minute, now),
                    ReadyAt(tokens_paid.*bound, tokens, limits.tokens_per_minute, now));
  };
  expected.ready = {ready_at(&Range::least), ready_at(&Range::most)};
  CountRunning(where, now, expected);
  const bool is_bounded = limits.concurrent > 0;
  expected.must_wait_for_permit = is_bounded && expected.least_running >= limits.concurrent;
  expected.may_wait_for_permit = is_bounded && expected.most_running >= limits.concurrent;
  return expected;
}

std::optional<Finding> LimitWatch::JudgeRefusal(const Expected& expected,
                                                const ratelimitd::TargetDecision& decision,
                                                MonotonicTime now) {
  const bool may_refuse = expected.ready.most > now || expected.may_wait_for_permit;
  if (!may_refuse) {
    return Finding{"L2", common::Concat("refused for ", ReasonName(decision.reason), " with ",
                                        expected.most_running, " running and nothing owed")};
  }
  nanoseconds longest = expected.ready.most - now;
  if (expected.may_wait_for_permit) longest = std::max<nanoseconds>(longest, kPermitWait);
  const bool is_spread = decision.reason == RefusalReason::kLocalLimit;
  if (is_spread) longest += std::clamp<nanoseconds>(longest / 10, 10ms, 1s);
  if (decision.retry_after > longest + kRounding) {
    return Finding{"L2", common::Concat("told to wait ", decision.retry_after.count(),
                                        " ms, and not ", longest / 1ms)};
  }
  if (decision.retry_after + kRounding < expected.ready.least - now) {
    return Finding{"L1", common::Concat("told to wait ", decision.retry_after.count(), " ms of ",
                                        (expected.ready.least - now) / 1ms)};
  }
  return std::nullopt;
}

std::optional<Finding> LimitWatch::OnAnswer(Where where, const Ask& ask,
                                            const ratelimitd::Verdict& verdict, MonotonicTime now) {
  NoteFooting(where);
  const Expected of_client = Expect(client_, where, ask.tokens, now);
  const Expected of_provider = Expect(provider_, where, ask.tokens, now);
  const ratelimitd::TargetDecision& decision = verdict.decisions.front();
  if (decision.reason == RefusalReason::kClientLimit) {
    return JudgeRefusal(of_client, decision, now);
  }
  if (of_client.ready.least > now + kRounding || of_client.must_wait_for_permit) {
    return Finding{"L1", common::Concat("not refused ", (of_client.ready.least - now) / 1ms,
                                        " ms before the client may ask, with ",
                                        of_client.least_running, " running")};
  }
  if (decision.decision == Decision::kReject) {
    if (decision.reason == RefusalReason::kLocalLimit) {
      return JudgeRefusal(of_provider, decision, now);
    }
    return Finding{"L2", common::Concat("refused for ", ReasonName(decision.reason))};
  }
  if (of_provider.ready.least > now + kRounding || of_provider.must_wait_for_permit) {
    return Finding{"L1", common::Concat("admitted ", (of_provider.ready.least - now) / 1ms,
                                        " ms before the provider may be asked, with ",
                                        of_provider.least_running, " running")};
  }
  events_.push_back({.at = now,
                     .where = where,
                     .is_stored = where.footing == Footing::kShared,
                     .request = ask.request,
                     .requests = 1,
                     .tokens = ask.tokens,
                     .lease_end = ask.lease_end});
  if (!verdict.client_limits) return Finding{"L3", "nothing was told of what is left"};
  return JudgeStatus(where, *verdict.client_limits, now);
}

std::optional<Finding> LimitWatch::JudgeStatus(Where where, const ratelimitd::LimitStatus& left,
                                               MonotonicTime now) const {
  const auto judge = [&](const char* what, const ratelimitd::LimitStatus::Of& told,
                         int64_t per_minute, int64_t Event::*cost) -> std::optional<Finding> {
    if (per_minute == 0) return std::nullopt;
    const Range paid = PaidUntil(where, per_minute, cost);
    const int64_t least = Left(paid.most + kRounding, per_minute, now);
    const int64_t most = Left(paid.least - kRounding, per_minute, now);
    if (told.per_minute == per_minute && told.remaining >= least && told.remaining <= most) {
      return std::nullopt;
    }
    return Finding{"L3", common::Concat(told.remaining, " ", what, " told to be left, not ", least,
                                        " to ", most)};
  };
  const auto finding =
      judge("requests", left.requests, client_.requests_per_minute, &Event::requests);
  if (finding) return finding;
  return judge("tokens", left.tokens, client_.tokens_per_minute, &Event::tokens);
}

void LimitWatch::OnReport(Where where, uint64_t request, int64_t more_tokens, MonotonicTime now) {
  NoteFooting(where);
  // Whoever is alone may never have read the store, and not know the token.
  bool is_known = false, is_sure = where.footing == Footing::kShared;
  for (const Event& event : events_) {
    if (event.request != request) continue;
    is_known = true;
    if (event.is_end && MustKnow(where, event)) return;
    // It may have been counted already; the tokens of whoever has never read the store mean nothing
    // to anybody who has; and the end of what the store has lost may be no news that it is told.
    is_sure &= !event.is_end && event.is_stored;
  }
  if (!is_known) return;  // from before a restart
  events_.push_back({.at = now,
                     .where = where,
                     .is_stored = where.footing == Footing::kShared,
                     .request = request,
                     .tokens = more_tokens,
                     .is_end = true,
                     .is_sure = is_sure,
                     .lease_end = {}});
}

void LimitWatch::OnLoss(MonotonicTime since) {
  for (Event& event : events_) {
    if (event.at >= since) event.is_stored = false;
  }
}

}  // namespace simulation
