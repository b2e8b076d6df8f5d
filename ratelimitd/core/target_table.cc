#include "ratelimitd/core/target_table.h"

#include <algorithm>

#include "ratelimitd/core/delay.h"
#include "ratelimitd/core/stable_hash.h"
#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

// How many of the least recently asked targets are looked at to make room for a new one.
constexpr int kRoomTries = 8;
constexpr milliseconds kSweepInterval = std::chrono::seconds(1);
constexpr milliseconds kLongestAttempt = std::chrono::hours(1);
constexpr milliseconds kLongestMemory = std::chrono::hours(24);
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

// Whether a repeated report would count twice. Successes are counts that may be a little off.
bool IsSharedAtOnce(OutcomeKind kind, const AdmissionToken& token) {
  if (token.lease_id != 0) return kind != OutcomeKind::kStreamStarted;
  return !IsSuccess(kind);
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

// Gateways take a changed credential one after the other, each with attempts under way: what one of
// them hears of the old credential is no news of the new one.
bool IsOfOtherCredential(const AttemptReport& report, std::string_view known) {
  return report.kind == OutcomeKind::kAuthFailed && !known.empty() &&
         !report.credential_fingerprint.empty() && report.credential_fingerprint != known;
}

// Whether what it says holds for every model of the provider.
bool IsAboutProvider(const AttemptReport& report) {
  const bool is_limit = report.kind == OutcomeKind::kRateLimited;
  return report.kind == OutcomeKind::kUnreachable || report.kind == OutcomeKind::kQuotaExhausted ||
         report.kind == OutcomeKind::kAuthFailed ||
         (is_limit && report.limit_scope == LimitScope::kProvider);
}

}  // namespace

TargetTable::TargetTable(TableSettings settings, uint32_t life)
    : settings_(std::move(settings)), life_(life), reporters_(settings_.max_reporters) {
  MakeConfiguredProviders();
}

TargetTable::~TargetTable() = default;

TargetTable::Provider* TargetTable::FindProvider(std::string_view name) const {
  const auto found = providers_.find(name);
  return found == providers_.end() ? nullptr : found->second.get();
}

TargetTable::Found TargetTable::Find(const TargetName& name) const {
  Provider* provider = FindProvider(name.provider);
  if (provider == nullptr) return {};
  const auto found = provider->targets.find(name.model);
  return {provider, found == provider->targets.end() ? nullptr : found->second.get()};
}

TargetTable::Found TargetTable::FindOrMake(const TargetName& name, MonotonicTime now) {
  Found found = Find(name);
  if (found.target != nullptr) {
    by_use_.splice(by_use_.end(), by_use_, found.target->use);
    return found;
  }
  if (!MakeRoom(now)) {
    ++not_remembered_;
    return {FindProvider(name.provider), nullptr};
  }
  // Making room may have forgotten the provider.
  found.provider = MakeProvider(name.provider, now);
  if (found.provider == nullptr) return {};
  auto entry = std::make_unique<Entry>(name.model, *found.provider);
  entry->id = is_shared_ ? TargetId(name) : ++last_id_;
  entry->view_version = ++view_version_;
  entry->use = by_use_.insert(by_use_.end(), entry.get());
  targets_by_id_[entry->id] = entry.get();
  found.target = entry.get();
  found.provider->targets.emplace(std::string(name.model), std::move(entry));
  Touch(*found.target);
  return found;
}

TargetTable::Provider* TargetTable::MakeProvider(std::string_view name, MonotonicTime now) {
  if (Provider* known = FindProvider(name)) return known;
  if (!MakeRoomForProvider(now)) return nullptr;
  auto provider = std::make_unique<Provider>(name);
  provider->settings = &settings_.For(name);
  provider->life = life_;
  provider->id = is_shared_ ? ProviderId(name) : ++last_id_;
  provider->view_version = ++view_version_;
  providers_by_id_[provider->id] = provider.get();
  Touch(*provider);
  return providers_.emplace(std::string(name), std::move(provider)).first->second.get();
}

bool TargetTable::MakeRoom(MonotonicTime now) {
  for (int i = 0; i < kRoomTries && targets_by_id_.size() >= settings_.max_targets; ++i) {
    if (by_use_.empty()) return false;
    ForgetOldest(now);
  }
  return targets_by_id_.size() < settings_.max_targets;
}

// Unless it must stay.
void TargetTable::ForgetOldest(MonotonicTime now) {
  Entry& oldest = *by_use_.front();
  // A probe of the provider comes back under the name of one of its targets.
  const bool may_go = oldest.provider.health.probes_out() == 0 &&
                      oldest.health.IsIdle(*oldest.provider.settings, now);
  if (may_go) {
    Forget(oldest, now);
    ++evicted_;
  } else {
    by_use_.splice(by_use_.end(), by_use_, by_use_.begin());
  }
}

// Whether nothing would be lost but a history.
bool TargetTable::IsIdle(const Provider& provider, MonotonicTime now) const {
  return provider.targets.empty() && !settings_.providers.contains(provider.name) &&
         provider.health.probes_out() == 0 && provider.health.IsIdle(*provider.settings, now) &&
         provider.limits.IsIdle(now);
}

bool TargetTable::MakeRoomForProvider(MonotonicTime now) {
  const auto has_room = [this] { return providers_.size() < settings_.max_targets; };
  for (int i = 0; i < kRoomTries && !has_room() && !by_use_.empty(); ++i) ForgetOldest(now);
  if (has_room()) return true;
  if (now < next_sweep_) return false;
  next_sweep_ = now + kSweepInterval;
  absl::erase_if(providers_, [this, now](const auto& item) {
    const Provider& provider = *item.second;
    if (!IsIdle(provider, now)) return false;
    std::erase(touched_.providers, &provider);
    providers_by_id_.erase(provider.id);
    return true;
  });
  return has_room();
}

void TargetTable::Forget(Entry& entry, MonotonicTime now) {
  Provider& provider = entry.provider;
  if (entry.is_touched) std::erase(touched_.targets, &entry);
  targets_by_id_.erase(entry.id);
  by_use_.erase(entry.use);
  provider.targets.erase(entry.model);
  const bool is_news =
      !provider.health.history().empty() || !provider.credential_fingerprint.empty();
  if (is_news || !IsIdle(provider, now)) return;
  if (provider.is_touched) std::erase(touched_.providers, &provider);
  providers_by_id_.erase(provider.id);
  providers_.erase(provider.name);
}

void TargetTable::Advance(Provider& provider, const Moment& moment) {
  Touch(provider);
  if (provider.health.Advance(*provider.settings, moment, provider.order)) {
    MarkChanged(provider, nullptr);
  }
  NoteVersion(provider);
}

void TargetTable::Advance(Entry& entry, const Moment& moment) {
  Provider& provider = entry.provider;
  Touch(entry);
  if (entry.health.Advance(*provider.settings, moment, provider.order)) {
    MarkChanged(provider, &entry);
  }
  NoteVersion(entry);
}

void TargetTable::MarkChanged(Provider& provider, Entry* target) {
  changed_.emplace(provider.name, target == nullptr ? std::string() : target->model);
}

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
  if (limits.IsUnlimited() && !clients_.IsLimited(ask.client_name)) return;
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

AckStatus TargetTable::Report(const AttemptReport& report, const Moment& moment) {
  Reporter* reporter = reporters_.Find(report.reporter, moment.now);
  if (reporter != nullptr && IsRepeated(*reporter, report.sequence_number)) {
    return AckStatus::kDuplicate;
  }
  Resolved resolved = Resolve(report, reporter, moment);
  if (resolved.found.provider == nullptr) {
    SettleLimits(report, resolved.token, nullptr, moment.now);
    return AckStatus::kStale;
  }
  if (is_shared_ && WasSeenByAnyReplica(resolved, report)) return AckStatus::kDuplicate;
  return Apply(resolved, report, moment);
}

// Among replicas a report may be decided again before it is confirmed.
bool TargetTable::IsRepeated(Reporter& reporter, uint64_t sequence_number) {
  if (!is_shared_) return !reporter.reports.Add(sequence_number);
  if (reporter.reports.Contains(sequence_number)) return true;
  return sequence_number != 0 && !seen_in_run_.emplace(reporter.id, sequence_number).second;
}

bool TargetTable::WasSeenByAnyReplica(const Resolved& resolved, const AttemptReport& report) const {
  return report.sequence_number != 0 && resolved.found.provider->recent.Contains(
                                            resolved.evidence.reporter_id, report.sequence_number);
}

TargetTable::Resolved TargetTable::Resolve(const AttemptReport& report, const Reporter* reporter,
                                           const Moment& moment) {
  Resolved resolved;
  resolved.evidence = {
      .kind = report.kind,
      .happened_at = moment.now - std::clamp(report.age, milliseconds(0), kLongestMemory),
      .order = std::nullopt,
      .reporter_id = reporter == nullptr ? 1 : reporter->id,
      .host_id = reporter == nullptr ? 1 : reporter->host_id,
      .reporter = report.reporter,
      .http_status = report.http_status,
      .provider_code = report.provider_code};
  FindByToken(report, moment.now, resolved);
  if (resolved.found.provider != nullptr &&
      IsOfOtherCredential(report, resolved.found.provider->credential_fingerprint)) {
    resolved.evidence.kind = OutcomeKind::kNotSent;
  }
  return resolved;
}

void TargetTable::FindByToken(const AttemptReport& report, MonotonicTime now, Resolved& resolved) {
  if (!report.token.empty()) {
    resolved.evidence.order = 0;
    const auto token = ParseToken(report.token);
    const auto known = token ? targets_by_id_.find(token->target_id) : targets_by_id_.end();
    if (known != targets_by_id_.end() && token->life == known->second->provider.life) {
      resolved.token = *token;
      resolved.evidence.order = token->order;
      resolved.found = {&known->second->provider, known->second};
      return;
    }
    // The target was not remembered or forgotten since, or is not known to this replica yet.
    if (token && !is_shared_ && token->life == life_) resolved.token = *token;
    if (report.target) resolved.found = FindOrMake(*report.target, now);
    if (token && IsOurs(*token, report, resolved.found)) {
      resolved.token = *token;
      resolved.evidence.order = token->order;
    } else if (IsSuccess(report.kind)) {
      // From before a restart: what has failed since would not count any more.
      resolved.found = {};
    }
    return;
  }
  if (report.target) resolved.found = FindOrMake(*report.target, now);
}

// Whether the token names the target, or the provider of one that was not remembered.
bool TargetTable::IsOurs(const AdmissionToken& token, const AttemptReport& report, Found& found) {
  const auto by_id = providers_by_id_.find(token.target_id);
  Provider* named = by_id == providers_by_id_.end() ? nullptr : by_id->second;
  // Numbers of another life mean something else.
  if (named != nullptr && named->life != token.life) named = nullptr;
  if (found.provider == nullptr) found.provider = named;
  if (found.provider == nullptr || found.provider->life != token.life) return false;
  if (named != nullptr) return found.provider == named;
  return is_shared_ && report.target && TargetId(*report.target) == token.target_id;
}

AckStatus TargetTable::Apply(Resolved& resolved, const AttemptReport& report,
                             const Moment& moment) {
  Provider& provider = *resolved.found.provider;
  Entry* target = resolved.found.target;
  Advance(provider, moment);
  if (target != nullptr) Advance(*target, moment);
  const bool is_numbered = report.sequence_number != 0;
  if (is_shared_ && is_numbered && IsSharedAtOnce(report.kind, resolved.token)) {
    provider.recent.Add(resolved.evidence.reporter_id, report.sequence_number);
  }
  SettleLimits(report, resolved.token, &provider, moment.now);
  const int quorum = QuorumFor(report, provider, moment.now);
  const HealthSettings& settings = *provider.settings;
  // What an operator has put an end to frees its permits and teaches nothing.
  const bool is_outdated =
      provider.health.ruling().IsOutdated(resolved.evidence) ||
      (target != nullptr && target->health.ruling().IsOutdated(resolved.evidence));
  if (is_outdated) resolved.evidence.kind = OutcomeKind::kNotSent;
  Health::Effect on_target = Health::Effect::kStale;
  if (target != nullptr) {
    on_target =
        target->health.Learn(settings, resolved.evidence, report, moment, quorum, provider.order);
    NoteVersion(*target);
  }
  const Health::Effect on_provider =
      provider.health.Learn(settings, resolved.evidence, report, moment, quorum, provider.order);
  NoteVersion(provider);
  if (on_target == Health::Effect::kChanged) MarkChanged(provider, target);
  if (on_provider == Health::Effect::kChanged) MarkChanged(provider, nullptr);
  // A fact about a target for which there is no room will be seen by nobody.
  if (target == nullptr && !IsAboutProvider(report)) return AckStatus::kStale;
  if (on_target == Health::Effect::kChanged || on_provider == Health::Effect::kChanged) {
    return AckStatus::kApplied;
  }
  if (is_outdated) return AckStatus::kStale;
  const Health::Effect charged = report.kind == OutcomeKind::kUnreachable ? on_provider : on_target;
  return charged == Health::Effect::kStale ? AckStatus::kStale : AckStatus::kApplied;
}

int TargetTable::QuorumFor(const AttemptReport& report, const Provider& provider,
                           MonotonicTime now) const {
  if (report.kind != OutcomeKind::kUnreachable) return 1;
  const int wanted = provider.settings->breaker.quorum;
  return std::min(wanted, reporters_.CountLiveHosts(now, wanted));
}

bool TargetTable::BeginSession(std::string_view reporter, std::string_view host,
                               MonotonicTime now) {
  return reporters_.BeginSession(reporter, host, now);
}

void TargetTable::EndSession(std::string_view reporter, MonotonicTime now) {
  const uint64_t ended = reporters_.EndSession(reporter, now);
  if (ended != 0) CutLeases(ended, now);
}

void TargetTable::CutLeases(uint64_t ended, MonotonicTime now) {
  for (auto& [name, provider] : providers_) {
    const MonotonicTime lease_end = now + provider->settings->breaker.probe_lease;
    if (provider->health.HasLeaseOf(ended) || provider->limits.HasLeaseOf(ended)) Touch(*provider);
    provider->health.OnSessionEnded(ended, lease_end);
    provider->limits.OnSessionEnded(ended, lease_end);
    for (auto& [model, target] : provider->targets) {
      if (!target->health.HasLeaseOf(ended)) continue;
      target->health.OnSessionEnded(ended, lease_end);
      Touch(*target);
    }
  }
  clients_.OnSessionEnded(ended, now + settings_.defaults.breaker.probe_lease);
}

void TargetTable::Relearn(std::string_view reporter, const KnownRefusal& refusal,
                          const Moment& moment) {
  const Found found = FindOrMake(refusal.target, moment.now);
  if (found.target == nullptr) return;
  Advance(*found.provider, moment);
  Advance(*found.target, moment);
  const Evidence teller{.happened_at = moment.now, .reporter = reporter};
  const milliseconds remaining = std::min(refusal.remaining, kLongestMemory);
  Provider& provider = *found.provider;
  if (found.target->health.Relearn(refusal.reason, remaining, teller, moment, provider.order)) {
    MarkChanged(provider, found.target);
  }
  if (provider.health.Relearn(refusal.reason, remaining, teller, moment, provider.order)) {
    MarkChanged(provider, nullptr);
  }
  NoteVersion(*found.target);
  NoteVersion(provider);
}

void TargetTable::LearnCredential(std::string_view provider_name, std::string_view fingerprint,
                                  const Moment& moment) {
  Provider* provider = MakeProvider(provider_name, moment.now);
  if (provider == nullptr || provider->credential_fingerprint == fingerprint) return;
  const bool is_change = !provider->credential_fingerprint.empty();
  provider->credential_fingerprint = fingerprint;
  Touch(*provider);
  if (is_change) provider->health.ClearByCredential(moment, provider->order);
  MarkChanged(*provider, nullptr);
  NoteVersion(*provider);
}

std::vector<KeyRecord> TargetTable::TakeConsequences(MonotonicTime now) {
  std::vector<KeyRecord> records;
  for (const auto& [provider_name, model] : changed_) {
    KeyRecord& record = records.emplace_back();
    record.provider = provider_name;
    record.model = model;
    const Found found = Find({provider_name, model});
    if (model.empty() && found.provider != nullptr) {
      record.health = found.provider->health.ToRecord(now);
      record.health.credential_fingerprint = found.provider->credential_fingerprint;
    } else if (found.target != nullptr) {
      record.health = found.target->health.ToRecord(now);
    }
  }
  changed_.clear();
  return records;
}

void TargetTable::Restore(const KeyRecord& record, milliseconds age, MonotonicTime now) {
  const HealthRecord aged = AgeRecord(record.health, age);
  if (record.model.empty()) {
    Provider* provider = MakeProvider(record.provider, now);
    if (provider == nullptr) return;
    provider->credential_fingerprint = aged.credential_fingerprint;
    provider->health.Restore(aged, now, provider->order);
    NoteVersion(*provider);
    return;
  }
  const Found found = FindOrMake({record.provider, record.model}, now);
  if (found.target == nullptr) return;
  found.target->health.Restore(aged, now, found.provider->order);
  NoteVersion(*found.target);
}

void TargetTable::Configure(TableSettings settings) {
  settings_ = std::move(settings);
  for (auto& [name, provider] : providers_) provider->settings = &settings_.For(name);
  MakeConfiguredProviders();
}

void TargetTable::MakeConfiguredProviders() {
  for (const auto& [name, settings] : settings_.providers) MakeProvider(name, {});
}

std::optional<LimitView> TargetTable::LimitsOf(const Provider& provider, MonotonicTime now) {
  const LimitSettings& settings = provider.settings->limits;
  if (settings.IsUnlimited()) return std::nullopt;
  return LimitView{settings, provider.limits.Status(settings, now), provider.limits.Running(now)};
}

HealthView TargetTable::MakeView(const Provider& provider, const Entry* target,
                                 MonotonicTime now) const {
  const Health& health = target == nullptr ? provider.health : target->health;
  return {.provider = provider.name,
          .model = target == nullptr ? std::string() : target->model,
          .state = health.StateAt(now),
          .since = health.since(),
          .until = health.UntilAt(now),
          .cause = health.CauseAt(now),
          .window = health.WindowAt(*provider.settings, now),
          .probes_out = health.probes_out(),
          .history = health.history(),
          .limits = target == nullptr ? LimitsOf(provider, now) : std::nullopt,
          .ruling = RulingOf(health, now),
          .version = target == nullptr ? provider.view_version : target->view_version};
}

std::vector<HealthView> TargetTable::View(const Moment& moment) {
  std::vector<HealthView> views = ViewChangedSince(0, moment);
  std::sort(views.begin(), views.end(), [](const HealthView& a, const HealthView& b) {
    return std::tie(a.provider, a.model) < std::tie(b.provider, b.model);
  });
  return views;
}

std::vector<HealthView> TargetTable::ViewChangedSince(uint64_t version, const Moment& moment) {
  std::vector<HealthView> views;
  for (auto& [name, provider] : providers_) {
    Advance(*provider, moment);
    if (provider->view_version > version) {
      views.push_back(MakeView(*provider, nullptr, moment.now));
    }
    for (auto& [model, target] : provider->targets) {
      Advance(*target, moment);
      if (target->view_version > version) {
        views.push_back(MakeView(*provider, target.get(), moment.now));
      }
    }
  }
  return views;
}

std::vector<HealthView> TargetTable::ViewProvider(std::string_view name, const Moment& moment) {
  std::vector<HealthView> views;
  Provider* provider = FindProvider(name);
  if (provider == nullptr) return views;
  Advance(*provider, moment);
  views.push_back(MakeView(*provider, nullptr, moment.now));
  for (auto& [model, target] : provider->targets) {
    Advance(*target, moment);
    views.push_back(MakeView(*provider, target.get(), moment.now));
  }
  return views;
}

std::optional<HealthView> TargetTable::ViewOne(const TargetName& name, const Moment& moment) {
  const Found found = Find(name);
  if (found.provider == nullptr) return std::nullopt;
  if (!name.model.empty() && found.target == nullptr) return std::nullopt;
  Advance(*found.provider, moment);
  if (found.target != nullptr) Advance(*found.target, moment);
  return MakeView(*found.provider, found.target, moment.now);
}

std::optional<Askable> TargetTable::IsAskable(std::string_view name, const Moment& moment) {
  Provider* provider = FindProvider(name);
  if (provider == nullptr) return std::nullopt;
  const auto is_refusing = [&moment](const Health& health) {
    const HealthState state = health.StateAt(moment.now);
    return state == HealthState::kOpen || state == HealthState::kBlocked ||
           state == HealthState::kForcedOpen;
  };
  Advance(*provider, moment);
  if (is_refusing(provider->health)) return Askable::kNo;
  const bool lets_pass = provider->health.ruling().IsSet();
  bool has_askable_target = provider->targets.empty();
  for (auto& [model, target] : provider->targets) {
    Advance(*target, moment);
    const bool is_out = target->health.ruling().mode() == OverrideMode::kForcedOpen;
    has_askable_target |= lets_pass ? !is_out : !is_refusing(target->health);
  }
  return has_askable_target ? Askable::kYes : Askable::kNo;
}

size_t TargetTable::Room() const {
  const size_t held = std::max(targets_by_id_.size(), providers_.size());
  return settings_.max_targets - std::min(settings_.max_targets, held);
}

TableStats TargetTable::Stats(const Moment& moment) {
  TableStats stats{.targets = targets_by_id_.size(),
                   .providers = providers_.size(),
                   .reporters = reporters_.size(),
                   .evicted = evicted_,
                   .not_remembered = not_remembered_};
  for (auto& [name, provider] : providers_) {
    Advance(*provider, moment);
    HealthState worst = provider->health.StateAt(moment.now);
    ++stats.overrides_by_mode[static_cast<size_t>(provider->health.ruling().mode())];
    for (auto& [model, target] : provider->targets) {
      Advance(*target, moment);
      const HealthState state = target->health.StateAt(moment.now);
      ++stats.targets_by_state[static_cast<size_t>(state)];
      ++stats.overrides_by_mode[static_cast<size_t>(target->health.ruling().mode())];
      // An operator's word on the provider stands above what its targets have learned.
      const bool counts = !provider->health.ruling().IsSet() || target->health.ruling().IsSet();
      if (counts && IsMoreSerious(state, worst)) worst = state;
    }
    stats.provider_states.push_back({name, worst});
  }
  return stats;
}

}  // namespace ratelimitd
