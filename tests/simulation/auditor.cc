#include "tests/simulation/auditor.h"

#include <algorithm>

#include "common/concat.h"

namespace simulation {
namespace {

using ratelimitd::Level;
using ratelimitd::RefusalReason;

bool IsNeutral(OutcomeKind kind) {
  return kind == OutcomeKind::kModelNotFound || kind == OutcomeKind::kCallerError ||
         kind == OutcomeKind::kCancelled || kind == OutcomeKind::kNotSent;
}

bool IsSame(const Look& a, const Look& b) {
  return a.state == b.state && a.until == b.until && a.calls == b.calls && a.failures == b.failures;
}

}  // namespace

Auditor::Auditor(const Scenario& scenario, EventQueue& events, Trace& trace)
    : scenario_(scenario),
      events_(events),
      trace_(trace),
      limits_(scenario.client_limits, scenario.settings.For(kLimitedProvider).limits) {
  BreakerWatch::Fleet fleet;
  if (scenario.IsFleet()) fleet = {.news_takes = kNewsTakes, .may_forget = scenario.HasFlood()};
  for (const ProviderSpec& provider : scenario.providers) {
    const common::Target name{provider.name, ""};
    keys_.emplace(name, std::make_unique<Key>(Level::kProvider, fleet));
    numbers_.emplace(name, static_cast<int>(numbers_.size()));
    for (const std::string& model : provider.models) {
      const common::Target target{provider.name, model};
      keys_.emplace(target, std::make_unique<Key>(Level::kTarget, fleet));
      numbers_.emplace(target, static_cast<int>(numbers_.size()));
    }
  }
}

void Auditor::Fail(const char* invariant, std::string what) {
  if (!finding_) finding_ = Finding{invariant, std::move(what)};
}

void Auditor::Judge(const std::optional<Finding>& finding, const common::Target& key) {
  if (finding)
    Fail(finding->invariant, common::Concat(key.provider, "/", key.model, ": ", finding->what));
}

Auditor::Key* Auditor::Find(const common::Target& key) {
  const auto found = keys_.find(key);
  return found == keys_.end() ? nullptr : found->second.get();
}

const ratelimitd::HealthSettings& Auditor::Settings(const common::Target& key) const {
  return scenario_.settings.For(key.provider);
}

BreakerWatch::Change Auditor::ChangeFrom(const Look& before, const Look& after) const {
  return {before, after, events_.now(), turn_, life_};
}

std::optional<Look> Auditor::LookAgain(const common::Target& key, Key& known) {
  std::optional<Look> look = witness_->LookAt(key);
  if (!look && is_fleet_) known.breaker.OnUnknown();
  if (look || is_in_doubt_) return look;
  // Never asked in this life, or forgotten for want of room.
  const MonotonicTime now = events_.now();
  const bool was_real = known.backoff.floor() > now || known.last.phase() == Look::Phase::kOpen ||
                        (known.last.IsBlocked() && known.last.until > now);
  if (was_real)
    Fail("I11", common::Concat(key.provider, "/", key.model, " was forgotten while refused"));
  // One replica may not know yet of what only counts.
  if (!is_fleet_) known.breaker.Forget();
  known.last = Look();
  return std::nullopt;
}

Look Auditor::Catch(const common::Target& key) {
  Key& known = *Find(key);
  if (IsOvertaken(key)) return known.last;
  const std::optional<Look> look = LookAgain(key, known);
  if (is_in_doubt_) return known.last = look.value_or(Look());
  if (!look) return Look();
  Judge(known.breaker.OnTime(Settings(key).breaker, ChangeFrom(known.last, *look)), key);
  return known.last = *look;
}

void Auditor::OnReportWritten(uint64_t sequence_number, Told told) {
  told.may_be_forgotten = scenario_.HasFlood();
  const ReportName name(told.reporter, sequence_number);
  written_.emplace(name, Written{.told = std::move(told)});
}

AckStatus Auditor::OnReport(const std::string& reporter, uint64_t sequence_number, milliseconds age,
                            const std::function<AckStatus()>& handle) {
  ++turn_;
  const MonotonicTime now = events_.now();
  hosts_.OnWord(Here(reporter), now);
  const ReportName name(reporter, sequence_number);
  Written& written = written_.at(name);
  Told& told = written.told;
  const common::Target provider = ProviderOf(told.target);
  const bool is_overtaken = IsOvertaken(told.target);
  const Look provider_before = Catch(provider);
  const Look target_before = Catch(told.target);
  const bool is_fresh = handled_.insert(name).second;
  if (is_fresh) told.happened_at = now - age;
  const bool is_repeated_here = !written.handled_by.insert(process_).second;
  const bool was_in_doubt = written.handled_first <= doubted_until_;
  if (is_fresh) {
    written.handled_first = turn_;
    written.provider_reports = ++provider_reports_[provider.provider];
  }
  if (told.grant != nullptr && told.grant->turn <= doubted_until_) told.may_be_forgotten = true;

  const AckStatus ack = handle();
  trace_.Note("report",
              {numbers_[told.target], static_cast<int>(told.kind), static_cast<int>(ack), process_,
               static_cast<int64_t>(told.grant == nullptr ? 0 : told.grant->turn)});
  if (is_fresh && ack == AckStatus::kDuplicate) {
    Fail("I4", "a new report was taken for a duplicate");
  }
  if (is_repeated_here && ack != AckStatus::kDuplicate) Fail("I4", "a report counted twice");
  // A copy that was long on its way says the same age, and seems younger.
  if (ack != AckStatus::kDuplicate) told.happened_at = std::max(told.happened_at, now - age);
  if (is_in_doubt_) {
    JudgeReportInDoubt(told.target, told, ack);
    JudgeReportInDoubt(provider, told, ack);
    return ack;
  }
  if (!is_fresh && ack != AckStatus::kDuplicate) {
    if (!was_in_doubt && !MayCountAgain(written)) Fail("I4", "two replicas counted one report");
    told.may_be_forgotten |= was_in_doubt;
  }
  if (is_overtaken) {
    if (ack == AckStatus::kDuplicate) return ack;
    JudgeOvertakenReport(told.target, told);
    JudgeOvertakenReport(provider, told);
    return ack;
  }
  if (ack == AckStatus::kDuplicate) {
    if (!IsSame(target_before, Catch(told.target)) || !IsSame(provider_before, Catch(provider))) {
      Fail("I4", "a repeated report changed something");
    }
    return ack;
  }
  // A success with a token from before a restart names no target.
  const bool is_known =
      told.grant == nullptr || told.grant->life == life_ ||
      (told.kind != OutcomeKind::kSuccess && told.kind != OutcomeKind::kStreamStarted);
  if (!is_known) return ack;
  JudgeFreshReport(told.target, written, ack, target_before, {});
  JudgeFreshReport(provider, written, ack, provider_before,
                   QuorumFor(Settings(told.target).breaker));
  return ack;
}

void Auditor::JudgeFreshReport(const common::Target& key, Written& written, AckStatus ack,
                               const Look& before, BreakerWatch::Quorum quorum) {
  const Told& told = written.told;
  const MonotonicTime now = events_.now();
  const ratelimitd::HealthSettings& settings = Settings(key);
  Key& known = *Find(key);
  NoteNews(known);
  const Look after = LookAgain(key, known).value_or(Look());
  const bool is_provider = key.model.empty();

  const auto heard =
      ack == AckStatus::kApplied ? BackoffBounds::Heard::kYes : BackoffBounds::Heard::kNo;
  const bool is_provider_wide = told.scope == ratelimitd::LimitScope::kProvider;
  if (told.kind == OutcomeKind::kRateLimited && is_provider_wide == is_provider) {
    const MonotonicTime floor_before = known.backoff.floor();
    const bool must_be_heard =
        known.backoff.OnLimit(settings.backoff, told, life_, heard, now, turn_);
    if (must_be_heard && ack != AckStatus::kApplied && !told.may_be_forgotten) {
      Fail("I2", "a limit that lasts longer than all before was ignored");
    }
    NoteFloor(known, floor_before);
    written.promised_backoff = known.backoff.floor();
  }
  if (told.kind == OutcomeKind::kSuccess || told.kind == OutcomeKind::kStreamStarted) {
    known.backoff.OnSuccess(told, life_, now);
  }
  if (IsNeutral(told.kind) && before.state != after.state) {
    Fail("I5", common::Concat("a neutral ", OutcomeName(told.kind), " changed the state of ",
                              key.provider, "/", key.model));
  }
  if (is_provider) JudgeBlock(key, known, told, before, after);
  Judge(known.breaker.OnReport(settings.breaker, told, quorum, ChangeFrom(before, after)), key);
  if (before.phase() != Look::Phase::kOpen && after.phase() == Look::Phase::kOpen) {
    written.promised_opening = after.until;
  }
  trace_.Note("judged",
              {numbers_[key], static_cast<int>(before.state), static_cast<int>(after.state),
               told.grant == nullptr ? 0 : told.grant->life,
               static_cast<int64_t>(told.grant == nullptr ? 0 : told.grant->turn)});
  known.last = after;
}

void Auditor::JudgeBlock(const common::Target& key, Key& known, const Told& told,
                         const Look& before, const Look& after) {
  if (known.block_probe && known.block_probe->first == told.grant) {
    known.block_probe.reset();
    if (told.kind == OutcomeKind::kNotSent) known.block.OnProbeNotSent(events_.now());
  }
  const bool is_cause =
      told.kind == OutcomeKind::kQuotaExhausted || told.kind == OutcomeKind::kAuthFailed;
  if (!before.IsBlocked() && after.IsBlocked() && !is_cause) {
    Fail("I5", common::Concat("a report of ", OutcomeName(told.kind), " blocked ", key.provider));
  }
  if (before.IsBlocked() && !after.IsBlocked()) {
    if (!known.block.IsProof(told, life_)) {
      Fail("I5", common::Concat("a report of ", OutcomeName(told.kind), " without proof unblocked ",
                                key.provider));
    }
    known.block.Clear();
    known.block_probe.reset();
  }
  if (is_cause && after.IsBlocked()) {
    const auto blocked =
        before.IsBlocked() ? BlockBounds::Blocked::kYes : BlockBounds::Blocked::kNo;
    known.block.OnSet(Settings(key).block, told, life_, blocked, events_.now(), turn_);
  }
}

void Auditor::OnAckSent(const std::string& reporter, uint64_t sequence_number) {
  Written& written = written_.at({reporter, sequence_number});
  const auto raise = [&](Key& key) {
    key.acknowledged_backoff = std::max(key.acknowledged_backoff, written.promised_backoff);
    key.acknowledged_opening = std::max(key.acknowledged_opening, written.promised_opening);
  };
  const bool is_provider_wide = written.told.scope == ratelimitd::LimitScope::kProvider ||
                                written.told.kind == OutcomeKind::kUnreachable;
  raise(*Find(is_provider_wide ? ProviderOf(written.told.target) : written.told.target));
}

void Auditor::OnOverride(Where where, ratelimitd::OverrideMode mode, milliseconds length) {
  trace_.Note("override", {where.process, static_cast<int>(where.footing), static_cast<int>(mode),
                           length.count()});
  rulings_.OnOverride(where, mode, length, events_.now());
}

void Auditor::OnReset(Where where, RulingWatch::Reach reach) {
  trace_.Note("reset", {where.process, static_cast<int>(where.footing), static_cast<int>(reach)});
  rulings_.OnReset(where, reach, events_.now());
}

void Auditor::OnLimit(Where where, const std::string& reporter, AckStatus ack,
                      RulingWatch::Fact fact, milliseconds figure) {
  trace_.Note("limit", {where.process, static_cast<int>(where.footing), static_cast<int>(ack),
                        static_cast<int>(fact), figure.count()});
  hosts_.OnWord({where.process, reporter}, events_.now());
  if (ack != AckStatus::kApplied) return;
  // A block is as long as it was told; a backoff has its jitter.
  const milliseconds longest = fact == RulingWatch::Fact::kBlock ? figure : figure + figure / 5;
  rulings_.OnLimit(where, fact, figure, longest, events_.now());
}

void Auditor::OnAnswer(Where where, const ratelimitd::TargetDecision& decision) {
  trace_.Note("answer",
              {where.process, static_cast<int>(where.footing), static_cast<int>(decision.decision),
               static_cast<int>(decision.reason), static_cast<int>(decision.overruled)});
  const auto finding = rulings_.OnAnswer(where, decision, events_.now());
  if (finding)
    Fail(finding->invariant, common::Concat("process ", where.process, ": ", finding->what));
}

void Auditor::OnClientsAnswer(Where where, const std::string& reporter, const LimitWatch::Ask& ask,
                              const Verdict& verdict) {
  const ratelimitd::TargetDecision& decision = verdict.decisions.front();
  trace_.Note("client",
              {where.process, static_cast<int>(where.footing), static_cast<int64_t>(ask.request),
               ask.tokens, static_cast<int>(decision.reason), decision.retry_after.count()});
  hosts_.OnWord({where.process, reporter}, events_.now());
  const auto finding = limits_.OnAnswer(where, ask, verdict, events_.now());
  if (finding)
    Fail(finding->invariant, common::Concat("process ", where.process, ": ", finding->what));
}

void Auditor::OnClientsReport(Where where, const std::string& reporter, uint64_t request,
                              int64_t more_tokens) {
  trace_.Note("used", {where.process, static_cast<int>(where.footing),
                       static_cast<int64_t>(request), more_tokens});
  hosts_.OnWord({where.process, reporter}, events_.now());
  limits_.OnReport(where, request, more_tokens, events_.now());
}

void Auditor::OnReplay(const std::function<bool()>& handle) {
  ++turn_;
  std::map<common::Target, Look> before;
  for (const auto& [key, known] : keys_) before[key] = Catch(key);
  const bool are_duplicates = handle();
  trace_.Note("replay", {static_cast<int64_t>(handled_.size())});
  for (const ReportName& name : handled_) {
    const bool is_replayed = !is_fleet_ || written_.at(name).handled_by.contains(process_);
    if (is_replayed) hosts_.OnWord(Here(name.first), events_.now());
  }
  if (!are_duplicates) Fail("I4", "a replayed report was not taken for a duplicate");
  if (is_in_doubt_) return;
  for (const auto& [key, known] : keys_) {
    if (!IsSame(before[key], Catch(key))) {
      Fail("I4", common::Concat("replaying all reports changed ", key.provider, "/", key.model));
    }
  }
}

}  // namespace simulation
