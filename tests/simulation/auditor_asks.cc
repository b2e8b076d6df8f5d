// The auditor's judgement of asks: who was admitted, who was refused, and what the refused were
// told.
#include <algorithm>

#include "common/concat.h"
#include "tests/simulation/auditor.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::Decision;
using ratelimitd::HealthState;
using ratelimitd::RefusalReason;
using Phase = Look::Phase;

constexpr milliseconds kRounding = 2ms;
// Enough refusals by one deadline to see whether they are spread.
constexpr int kManyReturns = 10;
constexpr int kWaitingReturns = 3;

int64_t Millis(nanoseconds length) {
  return std::chrono::duration_cast<milliseconds>(length).count();
}

// Reasons that hold until a known moment, whatever others do meanwhile.
bool IsForSure(RefusalReason reason) {
  return reason == RefusalReason::kRateLimited || reason == RefusalReason::kBreakerOpen ||
         reason == RefusalReason::kQuotaExhausted || reason == RefusalReason::kAuthFailed;
}

}  // namespace

void Auditor::OnAsk(const AskFacts& ask, const std::function<const Verdict&()>& handle) {
  ++turn_;
  hosts_.OnWord(Here(ask.reporter), events_.now());
  std::vector<bool> overtaken;
  std::vector<Look> targets, providers;
  for (const common::Target& target : ask.targets) {
    overtaken.push_back(IsOvertaken(target));
    providers.push_back(Catch(ProviderOf(target)));
    targets.push_back(Catch(target));
  }
  const Verdict peek = witness_->Peek(ask.reporter, ask.targets);
  const Verdict& verdict = handle();
  JudgeShape(ask, verdict, peek);
  for (size_t i = 0; i < verdict.decisions.size(); ++i) {
    const ratelimitd::TargetDecision& decision = verdict.decisions[i];
    trace_.Note("decision", {numbers_[ask.targets[i]], static_cast<int>(decision.decision),
                             static_cast<int>(decision.reason), decision.retry_after.count(),
                             process_, static_cast<int64_t>(turn_)});
    if (decision.decision != Decision::kReject || is_in_doubt_ || overtaken[i]) continue;
    JudgeRefusal(ask.targets[i], decision, targets[i], providers[i]);
    NoteSpread(ask.targets[i], decision, targets[i], providers[i]);
  }
  std::shared_ptr<const Grant>& grant = grants_[{ask.reporter, ask.correlation_id}];
  if (verdict.granted_index < 0) {
    const bool is_any_overtaken = std::count(overtaken.begin(), overtaken.end(), true) > 0;
    if (!is_in_doubt_ && !is_any_overtaken) ComeBackAsTold(ask, verdict);
    return;
  }
  const auto index = static_cast<size_t>(verdict.granted_index);
  const bool is_probe = verdict.decisions[index].decision == Decision::kAdmitProbe;
  grant = std::make_shared<const Grant>(
      Grant{life_, turn_, events_.now(), ask.targets[index], is_probe, overtaken[index], process_});
  if (overtaken[index]) {
    if (is_probe) Fail("I1", "a probe was lent without agreement");
    JudgeOvertakenGrant(ask.targets[index]);
    JudgeOvertakenGrant(ProviderOf(ask.targets[index]));
    return;
  }
  if (is_in_doubt_) {
    JudgeGrantInDoubt(ask, ask.targets[index], grant);
    JudgeGrantInDoubt(ask, ProviderOf(ask.targets[index]), grant);
    return;
  }
  JudgeGrant(ask, ask.targets[index], targets[index], providers[index], grant);
}

void Auditor::OnPeek(const AskFacts& ask, const std::function<const Verdict&()>& handle) {
  for (const common::Target& target : ask.targets) {
    Catch(ProviderOf(target));
    Catch(target);
  }
  const Verdict& verdict = handle();
  trace_.Note("peek", {verdict.granted_index, verdict.retry_after.count()});
}

std::shared_ptr<const Grant> Auditor::GrantOf(const std::string& reporter,
                                              uint64_t correlation_id) const {
  const auto found = grants_.find({reporter, correlation_id});
  return found == grants_.end() ? nullptr : found->second;
}

void Auditor::JudgeShape(const AskFacts& ask, const Verdict& verdict, const Verdict& peek) {
  const bool is_granted = verdict.granted_index >= 0;
  if (is_granted != (verdict.retry_after == 0ms))
    Fail("I6", "retry_after of an ask is not 0 iff admitted");
  for (const ratelimitd::TargetDecision& decision : verdict.decisions) {
    if ((decision.decision == Decision::kReject) == (decision.retry_after == 0ms)) {
      Fail("I6", "retry_after of a target is not 0 iff admitted");
    }
  }
  if (peek.granted_index != verdict.granted_index) Fail("I6", "a peek and the ask after it differ");
  if (!is_granted && verdict.decisions.size() != ask.targets.size()) {
    Fail("I6", "a refusal does not speak of every target");
  }
}

void Auditor::JudgeGrant(const AskFacts& ask, const common::Target& target,
                         const Look& target_before, const Look& provider_before,
                         const std::shared_ptr<const Grant>& grant) {
  JudgeAdmission(ask, target, target_before, grant);
  const common::Target provider = ProviderOf(target);
  Key& of_provider = *Find(provider);
  if (provider_before.IsBlocked()) {
    if (!grant->is_probe) Fail("I1", "blocked, and admitted without being a probe");
    if (of_provider.block.floor() > events_.now() + kRounding) {
      Fail("I2", common::Concat("admitted ", Millis(of_provider.block.floor() - events_.now()),
                                " ms before a block lets a probe through"));
    }
    if (of_provider.block_probe && of_provider.block_probe_until > events_.now()) {
      Fail("I1", "a block lent a second probe");
    }
    of_provider.block_probe = {grant, ask.reporter};
    of_provider.block_probe_until = ask.lease_end;
    of_provider.block.OnProbe(events_.now());
  }
  JudgeAdmission(ask, provider, provider_before, grant);
  const bool is_probing = provider_before.IsBlocked() ||
                          of_provider.last.phase() == Phase::kHalfOpen ||
                          Find(target)->last.phase() == Phase::kHalfOpen;
  if (grant->is_probe && !is_probing) Fail("I6", "a probe of what is not half-open or blocked");
}

void Auditor::JudgeAdmission(const AskFacts& ask, const common::Target& key, const Look& before,
                             const std::shared_ptr<const Grant>& grant) {
  Key& known = *Find(key);
  const MonotonicTime now = events_.now();
  if (known.backoff.floor() > now) {
    Fail("I2", common::Concat(key.provider, "/", key.model, " was admitted ",
                              Millis(known.backoff.floor() - now), " ms before its backoff ends"));
  }
  const std::optional<Look> after = LookAgain(key, known);
  if (!after) return;  // there is no room to remember it
  Judge(known.breaker.OnGrant(Settings(key).breaker, grant, ask.reporter, ask.lease_end,
                              ChangeFrom(before, *after)),
        key);
  known.last = *after;
  NoteNews(known);
}

void Auditor::JudgeRefusal(const common::Target& target, const ratelimitd::TargetDecision& decision,
                           const Look& of_target, const Look& of_provider) {
  const MonotonicTime now = events_.now();
  Key& known = *Find(target);
  Key& provider = *Find(ProviderOf(target));
  const ratelimitd::BreakerSettings& breaker = Settings(target).breaker;
  const auto is_any = [&](Phase phase) {
    return of_target.phase() == phase || of_provider.phase() == phase;
  };
  nanoseconds longest = 0ns;
  switch (decision.reason) {
    case RefusalReason::kRateLimited:
      longest = std::max(known.backoff.ceiling(), provider.backoff.ceiling()) - now;
      if (longest <= 0ns) Fail("I3", "refused by a backoff that must be over");
      break;
    case RefusalReason::kBreakerOpen:
      if (of_target.phase() == Phase::kOpen) longest = of_target.until - now;
      if (of_provider.phase() == Phase::kOpen) longest = std::max(longest, of_provider.until - now);
      if (of_provider.IsBlocked()) longest = breaker.open_max * 5 / 4;
      if (!is_any(Phase::kOpen) && !of_provider.IsBlocked())
        Fail("I3", "refused as open and is not");
      break;
    case RefusalReason::kProbesBusy: {
      longest = breaker.open;
      const bool is_true =
          (of_target.phase() == Phase::kHalfOpen && known.breaker.MayBeBusy(breaker, now)) ||
          (of_provider.phase() == Phase::kHalfOpen && provider.breaker.MayBeBusy(breaker, now)) ||
          of_provider.IsBlocked();
      if (!is_true) Fail("I3", "refused for want of a permit, and no probe is in flight");
      break;
    }
    case RefusalReason::kRamping: {
      longest = 1s;
      const bool is_true =
          (of_target.state == HealthState::kRamping && known.breaker.MayBePaced(now)) ||
          (of_provider.state == HealthState::kRamping && provider.breaker.MayBePaced(now)) ||
          of_provider.IsBlocked() || of_provider.state == HealthState::kBackingOff ||
          of_target.state == HealthState::kBackingOff;
      if (!is_true) Fail("I12", "refused by a ramp a second after the last admission");
      break;
    }
    case RefusalReason::kQuotaExhausted:
    case RefusalReason::kAuthFailed: {
      if (!of_provider.IsBlocked()) Fail("I3", "refused as blocked and is not");
      const bool has_probe = provider.block_probe && provider.block_probe_until > now;
      longest = std::max<nanoseconds>(provider.block.ceiling() - now, 5s);
      if (now >= provider.block.ceiling() && !has_probe)
        Fail("I3", "a block lends no probe in time");
      break;
    }
    default:
      Fail("I3", common::Concat("refused for ", ReasonName(decision.reason)));
  }
  const nanoseconds spread = std::clamp<nanoseconds>(longest / 10, 10ms, 1s);
  if (decision.retry_after > longest + spread + kRounding) {
    Fail("I6",
         common::Concat("told to wait ", decision.retry_after.count(), " ms for a ",
                        std::string(ReasonName(decision.reason)), " of ", Millis(longest), " ms"));
  }
}

void Auditor::NoteSpread(const common::Target& target, const ratelimitd::TargetDecision& decision,
                         const Look& of_target, const Look& of_provider) {
  const bool is_simple =
      of_provider.state == HealthState::kHealthy &&
      (of_target.state == HealthState::kOpen || of_target.state == HealthState::kBackingOff) &&
      of_target.until > events_.now() + 1s;
  if (!is_simple) return;
  Key& known = *Find(target);
  const MonotonicTime comes_back = events_.now() + decision.retry_after;
  const nanoseconds moved = of_target.until - known.spread_deadline;
  if (moved > 1us || moved < -1us) {
    known.spread_deadline = of_target.until;
    known.first_return = known.last_return = comes_back;
    known.returns = 0;
  }
  known.first_return = std::min(known.first_return, comes_back);
  known.last_return = std::max(known.last_return, comes_back);
  if (++known.returns == kManyReturns && known.last_return - known.first_return <= 1ms) {
    Fail("I6", common::Concat(kManyReturns, " refused callers were sent back in one millisecond"));
  }
}

Turn Auditor::NewsOf(const std::vector<common::Target>& targets) {
  Turn news = 0;
  for (const common::Target& target : targets) {
    news = std::max({news, Find(target)->news, Find(ProviderOf(target))->news});
  }
  return news;
}

// A caller that does as it was told is admitted, unless something has happened meanwhile.
void Auditor::ComeBackAsTold(const AskFacts& ask, const Verdict& verdict) {
  for (size_t i = 0; i < ask.targets.size(); ++i) {
    // The next permit of a probe, and the next turn in a ramp, are guesses.
    const Key& provider = *Find(ProviderOf(ask.targets[i]));
    const bool is_guess = provider.block_probe ||
                          provider.unknown_block_probe_until > events_.now() ||
                          provider.IsRecovering() || Find(ask.targets[i])->IsRecovering();
    if (!IsForSure(verdict.decisions[i].reason) || is_guess) return;
  }
  if (waiting_returns_ >= kWaitingReturns) return;
  ++waiting_returns_;
  events_.After(verdict.retry_after, [this, ask, life = life_, news = NewsOf(ask.targets)] {
    --waiting_returns_;
    if (witness_ == nullptr || life != life_ || NewsOf(ask.targets) != news) return;
    if (is_in_doubt_) return;
    for (const common::Target& target : ask.targets) {
      Catch(ProviderOf(target));
      Catch(target);
    }
    const Verdict again = witness_->Peek(ask.reporter, ask.targets);
    // Others may have acted while it looked.
    if (is_in_doubt_ || NewsOf(ask.targets) != news) return;
    if (again.granted_index < 0) {
      Fail("I6", common::Concat("a caller that came back when told was refused for ",
                                std::string(ReasonName(again.decisions.front().reason)), ", ",
                                again.retry_after.count(), " ms more"));
    }
  });
}

void Auditor::ExpectAdmitted(const std::string& reporter, const common::Target& target,
                             const Verdict& verdict) {
  const bool is_admitted =
      verdict.granted_index == 0 && verdict.decisions.front().decision == Decision::kAdmit;
  trace_.Note("final", {numbers_[target], is_admitted ? 1 : 0});
  if (is_admitted) return;
  Fail("I9", common::Concat("long after everything healed, ", reporter,
                            " is not simply admitted to ", target.provider, "/", target.model, ": ",
                            ReasonName(verdict.decisions.front().reason), ", decision ",
                            static_cast<int>(verdict.decisions.front().decision)));
}

}  // namespace simulation
