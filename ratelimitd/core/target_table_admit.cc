// Answers to asks.
#include <algorithm>

#include "ratelimitd/core/delay.h"
#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kLongestAttempt = std::chrono::hours(1);
// The longest life of a probe's permit when the attempt's timeout is unknown, in leases.
constexpr int kLeasesWithoutTimeout = 10;

milliseconds LeaseLength(const BreakerSettings& settings, milliseconds attempt_timeout) {
  if (attempt_timeout <= milliseconds(0)) return settings.probe_lease;
  return std::min(settings.probe_lease, attempt_timeout);
}

// A session's lease is renewed until the attempt must be over, so that a lost report wedges
// nothing.
MonotonicTime LeaseEnd(const BreakerSettings& settings, const Ask& ask, MonotonicTime now) {
  if (ask.lease_kind == LeaseKind::kFixed) return now + LeaseLength(settings, ask.attempt_timeout);
  const milliseconds longest = ask.attempt_timeout > milliseconds(0)
                                   ? std::min(ask.attempt_timeout, kLongestAttempt)
                                   : settings.probe_lease * kLeasesWithoutTimeout;
  return now + longest + settings.probe_lease;
}

// Both levels must admit; of two refusals the longer one is told.
Breaker::View Both(const Breaker::View& provider, const Breaker::View& target) {
  if (provider.decision == Decision::kReject) {
    const bool target_is_longer =
        target.decision == Decision::kReject && target.until > provider.until;
    return target_is_longer ? target : provider;
  }
  if (target.decision == Decision::kReject) return target;
  return provider.decision == Decision::kAdmitProbe ? provider : target;
}

}  // namespace

Breaker::View TargetTable::Look(const Ask& ask, const Found& found, MonotonicTime now,
                                Breaker::Resort resort) const {
  if (found.provider == nullptr) return {};
  const HealthSettings& settings = *found.provider->settings;
  Breaker::View view = found.provider->health.Look(settings, now, resort);
  if (found.target != nullptr) view = Both(view, found.target->health.Look(settings, now, resort));
  view = Overrule(RulingOn(found), view);
  if (settings.limits.IsUnlimited()) return view;
  return Both(found.provider->limits.Look(settings.limits, ask.cost_tokens,
                                          RefusalReason::kLocalLimit, now),
              view);
}

void TargetTable::LearnClientLimits(std::string_view name, const LimitSettings& limits,
                                    MonotonicTime now) {
  const uint64_t id = is_shared_ ? StableHash(name) : ++last_id_;
  clients_.Learn(name, limits, settings_.max_clients, id, now);
}

bool TargetTable::RefuseByClientLimit(const Ask& ask, const Moment& moment, Verdict& verdict) {
  if (ask.is_continuation) return false;
  const Breaker::View view = clients_.Look(ask.client_name, ask.cost_tokens, moment.now);
  if (view.decision != Decision::kReject) return false;
  // One client alone waits for this: there is no herd to spread.
  verdict.retry_after =
      std::max(std::chrono::ceil<milliseconds>(view.until - moment.now), milliseconds(1));
  verdict.decisions.assign(ask.targets.size(),
                           {Decision::kReject, view.reason, verdict.retry_after});
  return true;
}

void TargetTable::TakeFromLimits(const Ask& ask, const Grantee& grantee, MonotonicTime now,
                                 AdmissionToken& token) {
  const LimitSettings& limits = grantee.settings.limits;
  if (limits.IsUnlimited() && !clients_.Knows(ask.client_name)) return;
  const Limits::Lease lease{.id = ++last_id_,
                            .reporter_id = grantee.reporter_id,
                            .until = LeaseEnd(grantee.settings.breaker, ask, now)};
  if (grantee.provider != nullptr) {
    grantee.provider->limits.Take(limits, {.requests = 1, .tokens = ask.cost_tokens}, lease, now);
  }
  const LimitCost of_client{.requests = ask.is_continuation ? 0 : 1, .tokens = ask.cost_tokens};
  token.client_id = clients_.Take(ask.client_name, of_client, lease, now);
  token.lease_id = lease.id;
  token.cost_tokens = static_cast<uint64_t>(ask.cost_tokens);
}

void TargetTable::SettleLimits(const AttemptReport& report, const AdmissionToken& token,
                               Provider* provider, MonotonicTime now) {
  if (token.lease_id == 0 || report.kind == OutcomeKind::kStreamStarted) return;
  const int64_t more = TokensBeyondEstimate(report, static_cast<int64_t>(token.cost_tokens));
  if (provider != nullptr) {
    provider->limits.Settle(provider->settings->limits, token.lease_id, more, now);
  }
  clients_.Settle(token.client_id, token.lease_id, more, now);
}

void TargetTable::Admit(const Ask& ask, const Moment& moment, Verdict& verdict) {
  verdict.granted_index = -1;
  verdict.token.clear();
  verdict.lease = milliseconds(0);
  verdict.retry_after = milliseconds(0);
  if (ask.mode != AdmitMode::kPeek) reporters_.Find(ask.reporter, moment.now);
  Decide(ask, moment, verdict);
  verdict.client_limits = clients_.Status(ask.client_name, moment.now);
}

void TargetTable::Decide(const Ask& ask, const Moment& moment, Verdict& verdict) {
  if (RefuseByClientLimit(ask, moment, verdict)) return;
  const Breaker::View budget = LookAtRetryBudget(ask, moment.now);
  if (GrantFirst(ask, moment, Breaker::Resort::kOrdinary, budget, verdict)) return;
  if (GrantFirst(ask, moment, Breaker::Resort::kLast, budget, verdict)) return;
  for (const TargetDecision& decision : verdict.decisions) {
    if (verdict.retry_after == milliseconds(0) || decision.retry_after < verdict.retry_after) {
      verdict.retry_after = decision.retry_after;
    }
  }
}

Breaker::View TargetTable::LookAtRetryBudget(const Ask& ask, MonotonicTime now) const {
  if (!ask.is_continuation) return {};
  const MonotonicTime next = retry_budget_.NextRetry(settings_.retry_budget, now);
  if (next == now) return {};
  return {Decision::kReject, RefusalReason::kRetryBudget, next};
}

bool TargetTable::GrantFirst(const Ask& ask, const Moment& moment, Breaker::Resort resort,
                             const Breaker::View& of_all, Verdict& verdict) {
  verdict.decisions.clear();
  for (size_t i = 0; i < ask.targets.size(); ++i) {
    const Found found = Find(ask.targets[i]);
    if (found.provider != nullptr) Advance(*found.provider, moment);
    if (found.target != nullptr) Advance(*found.target, moment);
    const Breaker::View view = Both(of_all, Look(ask, found, moment.now, resort));
    if (view.decision == Decision::kReject) {
      verdict.decisions.push_back(
          {view.decision, view.reason, SpreadWait(view.until, moment.now, moment.chance)});
      continue;
    }
    verdict.decisions.push_back({.decision = view.decision, .overruled = view.overruled});
    if (verdict.granted_index >= 0) continue;
    Grant(ask, i, found, view.decision, moment, verdict);
    if (ask.mode != AdmitMode::kPeek) return true;
  }
  return verdict.granted_index >= 0;
}

void TargetTable::Grant(const Ask& ask, size_t index, const Found& known, Decision decision,
                        const Moment& moment, Verdict& verdict) {
  verdict.granted_index = static_cast<int>(index);
  if (ask.mode == AdmitMode::kPeek) return;
  if (ask.is_continuation) {
    retry_budget_.CountRetry(moment.now);
  } else {
    retry_budget_.CountRequest(moment.now);
  }
  const TargetName& name = ask.targets[index];
  const Found found = known.target == nullptr ? FindOrMake(name, moment.now) : known;
  const Reporter* reporter = reporters_.Find(ask.reporter, moment.now);
  const Grantee grantee{.provider = found.provider,
                        .settings = found.provider == nullptr ? settings_.For(name.provider)
                                                              : *found.provider->settings,
                        .reporter_id = reporter == nullptr ? 0 : reporter->id};
  AdmissionToken token{.life = life_};
  if (found.provider != nullptr) Commit(ask, found, grantee, decision, moment, token, verdict);
  TakeFromLimits(ask, grantee, moment.now, token);
  verdict.token = RenderToken(token);
}

// The provider lends its permits and keeps its pace also for a target that is not remembered.
void TargetTable::Commit(const Ask& ask, const Found& found, const Grantee& grantee,
                         Decision decision, const Moment& moment, AdmissionToken& token,
                         Verdict& verdict) {
  Provider& provider = *found.provider;
  ProbeLease lease{.order = provider.order, .reporter_id = grantee.reporter_id, .at = moment.now};
  if (decision == Decision::kAdmitProbe) {
    lease.order = ++provider.order;
    lease.until = LeaseEnd(grantee.settings.breaker, ask, moment.now);
    verdict.lease = LeaseLength(grantee.settings.breaker, ask.attempt_timeout);
  }
  const bool is_overruled = verdict.decisions.back().overruled != RefusalReason::kNone;
  if (is_overruled) {
    // The facts had refused: nothing is lent, and no probe is named by the same number.
    lease.order = ++provider.order;
    CountOverruled(found);
  } else {
    provider.health.Admit(grantee.settings, lease, provider.order);
  }
  NoteVersion(provider);
  token.life = provider.life;
  token.order = lease.order;
  token.target_id = provider.id;
  if (found.target == nullptr) return;
  token.target_id = found.target->id;
  by_use_.splice(by_use_.end(), by_use_, found.target->use);
  if (!is_overruled) found.target->health.Admit(grantee.settings, lease, provider.order);
  NoteVersion(*found.target);
}

}  // namespace ratelimitd
