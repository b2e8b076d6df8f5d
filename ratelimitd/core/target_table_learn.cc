// What reports, and the memory of gateways, teach the table.
#include <algorithm>

#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kLongestMemory = std::chrono::hours(24);

// Whether a repeated report would count twice. Successes are counts that may be a little off.
bool IsSharedAtOnce(OutcomeKind kind, const AdmissionToken& token) {
  if (token.lease_id != 0) return kind != OutcomeKind::kStreamStarted;
  return !IsSuccess(kind);
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

}  // namespace ratelimitd
