#include "gateway/io/admission_messages.h"

#include <algorithm>
#include <string_view>

namespace gateway {
namespace {

namespace pb = candor::ratelimitd::v1;
using std::chrono::milliseconds;

pb::OutcomeKind KindOf(Charge charge) {
  switch (charge) {
    case Charge::kRateLimited:
      return pb::OUTCOME_KIND_RATE_LIMITED;
    case Charge::kQuotaExhausted:
      return pb::OUTCOME_KIND_QUOTA_EXHAUSTED;
    case Charge::kOverloaded:
      return pb::OUTCOME_KIND_OVERLOADED;
    case Charge::kUpstreamError:
      return pb::OUTCOME_KIND_UPSTREAM_ERROR;
    case Charge::kTimeout:
      return pb::OUTCOME_KIND_TIMEOUT;
    case Charge::kUnreachable:
      return pb::OUTCOME_KIND_UNREACHABLE;
    case Charge::kMalformed:
      return pb::OUTCOME_KIND_MALFORMED;
    case Charge::kInterrupted:
      return pb::OUTCOME_KIND_INTERRUPTED;
    case Charge::kAuthFailed:
      return pb::OUTCOME_KIND_AUTH_FAILED;
    case Charge::kModelNotFound:
      return pb::OUTCOME_KIND_MODEL_NOT_FOUND;
    case Charge::kCallerError:
      return pb::OUTCOME_KIND_CALLER_ERROR;
    case Charge::kCancelled:
      return pb::OUTCOME_KIND_CANCELLED;
    case Charge::kNotSent:
      return pb::OUTCOME_KIND_NOT_SENT;
  }
  return pb::OUTCOME_KIND_NOT_SENT;
}

pb::OutcomeKind KindOf(const AttemptReport& report) {
  switch (report.kind) {
    case AttemptReport::Kind::kSuccess:
      return pb::OUTCOME_KIND_SUCCESS;
    case AttemptReport::Kind::kStreamStarted:
      return pb::OUTCOME_KIND_STREAM_STARTED;
    case AttemptReport::Kind::kFailure:
      return KindOf(report.charge);
  }
  return pb::OUTCOME_KIND_NOT_SENT;
}

std::string_view ReasonWord(pb::RefusalReason reason) {
  switch (reason) {
    case pb::REFUSAL_REASON_RATE_LIMITED:
      return "backoff";
    case pb::REFUSAL_REASON_BREAKER_OPEN:
      return "breaker";
    case pb::REFUSAL_REASON_PROBES_BUSY:
      return "probing";
    case pb::REFUSAL_REASON_RAMPING:
      return "ramping";
    case pb::REFUSAL_REASON_QUOTA_EXHAUSTED:
      return "quota";
    case pb::REFUSAL_REASON_AUTH_FAILED:
      return "auth";
    case pb::REFUSAL_REASON_LOCAL_LIMIT:
      return "limit";
    case pb::REFUSAL_REASON_DRAINED:
      return "drained";
    case pb::REFUSAL_REASON_CLIENT_LIMIT:
      return "client_limit";
    case pb::REFUSAL_REASON_RETRY_BUDGET:
      return "retry_budget";
    default:
      return "unknown";
  }
}

pb::RefusalReason ReasonOf(std::string_view word) {
  for (int value = pb::RefusalReason_MIN; value <= pb::RefusalReason_MAX; ++value) {
    const auto reason = static_cast<pb::RefusalReason>(value);
    if (ReasonWord(reason) == word) return reason;
  }
  return pb::REFUSAL_REASON_UNSPECIFIED;
}

void TakeDecisions(const pb::Verdict& message, const std::vector<common::Target>& targets,
                   AdmissionVerdict& verdict) {
  const int count = std::min(message.decisions_size(), static_cast<int>(targets.size()));
  for (int i = 0; i < count; ++i) {
    const pb::TargetDecision& decision = message.decisions(i);
    if (decision.decision() != pb::ADMIT_DECISION_REJECT) continue;
    verdict.is_client_limit |= decision.reason() == pb::REFUSAL_REASON_CLIENT_LIMIT;
    verdict.refused.push_back({targets[static_cast<size_t>(i)],
                               std::string(ReasonWord(decision.reason())),
                               milliseconds(std::max<int64_t>(decision.retry_after_ms(), 1))});
  }
}

ClientLimitStatus ParseStatus(const pb::ClientLimitStatus& message) {
  return {.requests = {message.requests_per_minute(), message.requests_remaining(),
                       milliseconds(message.requests_reset_ms())},
          .tokens = {message.tokens_per_minute(), message.tokens_remaining(),
                     milliseconds(message.tokens_reset_ms())}};
}

}  // namespace

void FillTarget(const common::Target& target, pb::Target& out) {
  out.set_provider(target.provider);
  out.set_model(target.model);
}

void FillReport(const AttemptReport& report, milliseconds age, pb::AttemptReport& out) {
  if (!report.token.empty()) out.set_token(report.token);
  // A token from before a restart of ratelimitd, or of another replica, may tell it no target: then
  // a failure would be lost, and a probe's permit be in use until its lease ends.
  if (!report.target.provider.empty()) FillTarget(report.target, *out.mutable_target());
  out.set_kind(KindOf(report));
  out.set_age_ms(age.count());
  out.set_http_status(report.http_status);
  if (!report.provider_code.empty()) out.set_provider_code(report.provider_code.substr(0, 64));
  if (report.timing.retry_after) out.set_retry_after_ms(report.timing.retry_after->count());
  if (report.timing.scope == LimitScope::kProvider) out.set_limit_scope(pb::LIMIT_SCOPE_PROVIDER);
  out.set_time_to_first_byte_ms(report.time_to_first_byte.count());
  out.set_duration_ms(report.duration.count());
  out.set_tokens_used(report.tokens_used);
  if (!report.credential_fingerprint.empty()) {
    out.set_credential_fingerprint(report.credential_fingerprint);
  }
}

void FillKnownRefusal(const RefusedTarget& refused, pb::KnownRefusal& out) {
  FillTarget(refused.target, *out.mutable_target());
  out.set_reason(ReasonOf(refused.reason));
  out.set_remaining_ms(refused.retry_after.count());
}

void FillClientLimits(std::string_view name, const ClientLimits& limits, pb::ClientLimits& out) {
  out.set_client_name(std::string(name));
  out.set_requests_per_minute(limits.requests_per_minute);
  out.set_tokens_per_minute(limits.tokens_per_minute);
  out.set_concurrent_requests(limits.concurrent_requests);
}

AdmissionVerdict ParseVerdict(const pb::Verdict& message,
                              const std::vector<common::Target>& targets) {
  AdmissionVerdict verdict;
  verdict.is_degraded = message.degraded();
  TakeDecisions(message, targets, verdict);
  if (message.has_client_limits()) verdict.client_limits = ParseStatus(message.client_limits());
  if (message.has_grant()) {
    const int index = message.grant().target_index();
    if (index < 0 || index >= static_cast<int>(targets.size())) return verdict;
    verdict.kind = AdmissionVerdict::Kind::kGranted;
    verdict.target_index = static_cast<size_t>(index);
    verdict.token = message.grant().token();
  } else if (message.has_refusal()) {
    verdict.kind = AdmissionVerdict::Kind::kRefused;
    verdict.retry_after = milliseconds(std::max<int64_t>(message.refusal().retry_after_ms(), 1));
  }
  return verdict;
}

}  // namespace gateway
