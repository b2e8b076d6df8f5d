#include "ratelimitd/io/admission_messages.h"

#include <algorithm>

#include "common/concat.h"
#include "ratelimitd/io/rpc_error.h"

namespace ratelimitd {
namespace {

using common::Concat;

constexpr int kMaxPerMessage = 4096;
constexpr int kMaxTargets = 64;
constexpr int kMaxKnownRefusals = 1024;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxReporterBytes = 128;
constexpr size_t kMaxFingerprintBytes = 64;
constexpr int64_t kDayMs = int64_t{24} * 3600 * 1000;
constexpr int64_t kMaxTokens = 1'000'000'000;
constexpr int64_t kMaxLimit = 1'000'000'000'000;
constexpr int64_t kMaxConcurrent = 1'000'000;

static_assert(static_cast<int>(OutcomeKind::kNotSent) == pb::OUTCOME_KIND_NOT_SENT);
static_assert(static_cast<int>(OutcomeKind::kUnreachable) == pb::OUTCOME_KIND_UNREACHABLE);
static_assert(static_cast<int>(OutcomeKind::kAuthFailed) == pb::OUTCOME_KIND_AUTH_FAILED);
static_assert(kOutcomeKinds == pb::OutcomeKind_ARRAYSIZE);
static_assert(static_cast<int>(RefusalReason::kRetryBudget) == pb::REFUSAL_REASON_RETRY_BUDGET);
static_assert(kRefusalReasons == pb::RefusalReason_ARRAYSIZE);
static_assert(static_cast<int>(AckStatus::kStale) == pb::ACK_STATUS_STALE);
static_assert(static_cast<int>(Decision::kReject) == pb::ADMIT_DECISION_REJECT);

grpc::Status Invalid(std::string_view reason, std::string_view message) {
  return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, reason, message);
}

grpc::Status CheckCount(int count, int limit, std::string_view what) {
  if (count <= limit) return grpc::Status::OK;
  return Invalid("TOO_MANY", Concat(what, ": ", count, " in one message, at most ", limit));
}

grpc::Status CheckTarget(const pb::Target& target) {
  for (const std::string* name : {&target.provider(), &target.model()}) {
    if (name->empty() || name->size() > kMaxNameBytes) {
      return Invalid("BAD_TARGET", Concat("a target needs a provider and a model of 1 to ",
                                          kMaxNameBytes, " bytes each"));
    }
  }
  return grpc::Status::OK;
}

grpc::Status CheckCredential(const pb::ProviderCredential& credential) {
  if (credential.provider().empty() || credential.provider().size() > kMaxNameBytes ||
      credential.fingerprint().size() > kMaxFingerprintBytes) {
    return Invalid("BAD_CREDENTIAL", "a credential needs a provider and a short fingerprint");
  }
  return grpc::Status::OK;
}

grpc::Status CheckClientLimits(const pb::ClientLimits& limits) {
  if (!limits.client_name().empty() && limits.client_name().size() <= kMaxNameBytes) {
    return grpc::Status::OK;
  }
  return Invalid("BAD_CLIENT_NAME", Concat("client_name must have 1 to ", kMaxNameBytes, " bytes"));
}

// The first complaint about the items of a list.
template <typename List, typename Check>
grpc::Status CheckEach(const List& list, Check check) {
  for (const auto& item : list) {
    if (grpc::Status status = check(item); !status.ok()) return status;
  }
  return grpc::Status::OK;
}

grpc::Status FirstError(std::initializer_list<grpc::Status> results) {
  for (const grpc::Status& status : results) {
    if (!status.ok()) return status;
  }
  return grpc::Status::OK;
}

milliseconds ClampMs(int64_t value, int64_t highest) {
  return milliseconds(std::clamp<int64_t>(value, 0, highest));
}

}  // namespace

grpc::Status CheckReporter(const std::string& reporter) {
  if (!reporter.empty() && reporter.size() <= kMaxReporterBytes) return grpc::Status::OK;
  return Invalid("BAD_REPORTER", Concat("reporter must have 1 to ", kMaxReporterBytes, " bytes"));
}

grpc::Status CheckHello(const pb::SessionHello& hello) {
  if (hello.host().size() > kMaxReporterBytes) {
    return Invalid("BAD_HOST", Concat("host must have at most ", kMaxReporterBytes, " bytes"));
  }
  const auto check_refusal = [](const pb::KnownRefusal& r) { return CheckTarget(r.target()); };
  return FirstError({CheckReporter(hello.reporter()),
                     CheckCount(hello.known_refusals_size(), kMaxKnownRefusals, "known_refusals"),
                     CheckCount(hello.client_limits_size(), kMaxPerMessage, "client_limits"),
                     CheckCount(hello.credentials_size(), kMaxPerMessage, "credentials"),
                     CheckEach(hello.known_refusals(), check_refusal),
                     CheckEach(hello.client_limits(), CheckClientLimits),
                     CheckEach(hello.credentials(), CheckCredential)});
}

grpc::Status CheckSessionRequest(const pb::SessionRequest& request) {
  return FirstError({CheckCount(request.asks_size(), kMaxPerMessage, "asks"),
                     CheckCount(request.reports_size(), kMaxPerMessage, "reports"),
                     CheckCount(request.client_limits_size(), kMaxPerMessage, "client_limits"),
                     CheckCount(request.credentials_size(), kMaxPerMessage, "credentials"),
                     CheckEach(request.asks(), CheckAsk), CheckEach(request.reports(), CheckReport),
                     CheckEach(request.client_limits(), CheckClientLimits),
                     CheckEach(request.credentials(), CheckCredential)});
}

grpc::Status CheckAsk(const pb::Ask& ask) {
  if (ask.targets_size() < 1 || ask.targets_size() > kMaxTargets) {
    return Invalid("BAD_TARGETS", Concat("an ask needs 1 to ", kMaxTargets, " targets"));
  }
  // A later one may have no side effects, which FIRST_AVAILABLE has.
  if (!pb::AdmitMode_IsValid(ask.mode())) {
    return Invalid("BAD_MODE", "an ask needs a known mode");
  }
  if (ask.client_name().size() > kMaxNameBytes) {
    return Invalid("BAD_CLIENT_NAME",
                   Concat("client_name must have at most ", kMaxNameBytes, " bytes"));
  }
  return CheckEach(ask.targets(), CheckTarget);
}

grpc::Status CheckAdmit(const pb::AdmitRequest& request) {
  grpc::Status status = FirstError({CheckReporter(request.reporter()), CheckAsk(request.ask())});
  if (!status.ok() || !request.has_client_limits()) return status;
  const std::string& client = request.ask().client_name();
  const std::string& limited = request.client_limits().client_name();
  if (!client.empty() && (limited.empty() || limited == client)) return status;
  return Invalid("BAD_CLIENT_NAME",
                 "client_limits are those of ask.client_name: name the client there");
}

grpc::Status CheckReport(const pb::AttemptReport& report) {
  if (report.kind() < 1 || report.kind() >= pb::OutcomeKind_ARRAYSIZE) {
    return Invalid("BAD_KIND", "a report needs a known outcome kind");
  }
  if (report.token().empty() && !report.has_target()) {
    return Invalid("BAD_TARGET", "a report needs the token of its grant, or a target");
  }
  return report.has_target() ? CheckTarget(report.target()) : grpc::Status::OK;
}

Ask ParseAsk(const pb::Ask& message, std::string_view reporter, LeaseKind lease_kind,
             std::vector<TargetName>& names) {
  names.clear();
  for (const pb::Target& target : message.targets()) {
    names.push_back({target.provider(), target.model()});
  }
  const bool is_peek = message.mode() == pb::ADMIT_MODE_PEEK;
  return {.reporter = reporter,
          .lease_kind = lease_kind,
          .targets = names,
          .mode = is_peek ? AdmitMode::kPeek : AdmitMode::kFirstAvailable,
          .client_name = message.client_name(),
          .cost_tokens = std::clamp<int64_t>(message.cost_tokens(), 0, kMaxTokens),
          .attempt_timeout = ClampMs(message.attempt_timeout_ms(), kDayMs),
          .is_continuation = message.continuation()};
}

AttemptReport ParseReport(const pb::AttemptReport& message, std::string_view reporter) {
  AttemptReport report{.reporter = reporter,
                       .sequence_number = message.sequence_number(),
                       .token = message.token(),
                       .kind = static_cast<OutcomeKind>(message.kind()),
                       .age = ClampMs(message.age_ms(), kDayMs),
                       .http_status = std::clamp(message.http_status(), 0, 999),
                       .provider_code = message.provider_code(),
                       .limit_scope = message.limit_scope() == pb::LIMIT_SCOPE_PROVIDER
                                          ? LimitScope::kProvider
                                          : LimitScope::kTarget,
                       .tokens_used = std::clamp<int64_t>(message.tokens_used(), 0, kMaxTokens),
                       .credential_fingerprint = message.credential_fingerprint()};
  if (message.has_target()) {
    report.target = TargetName{message.target().provider(), message.target().model()};
  }
  if (message.has_retry_after_ms()) {
    // Kept within ten years either way; the state machine judges what is absurd.
    report.retry_after =
        milliseconds(std::clamp(message.retry_after_ms(), -3650 * kDayMs, 3650 * kDayMs));
  }
  return report;
}

LimitSettings ParseClientLimits(const pb::ClientLimits& message) {
  return {.requests_per_minute = std::clamp<int64_t>(message.requests_per_minute(), 0, kMaxLimit),
          .tokens_per_minute = std::clamp<int64_t>(message.tokens_per_minute(), 0, kMaxLimit),
          .concurrent = std::clamp<int64_t>(message.concurrent_requests(), 0, kMaxConcurrent)};
}

KnownRefusal ParseKnownRefusal(const pb::KnownRefusal& message) {
  const bool is_known = message.reason() > 0 && message.reason() < pb::RefusalReason_ARRAYSIZE;
  return {.target = {message.target().provider(), message.target().model()},
          .reason = is_known ? static_cast<RefusalReason>(message.reason()) : RefusalReason::kNone,
          .remaining = ClampMs(message.remaining_ms(), kDayMs)};
}

void BuildVerdict(const Verdict& verdict, uint64_t correlation_id, pb::Verdict& message) {
  message.set_correlation_id(correlation_id);
  if (verdict.granted_index >= 0) {
    pb::Grant& grant = *message.mutable_grant();
    grant.set_target_index(verdict.granted_index);
    grant.set_token(verdict.token);
    grant.set_lease_ms(verdict.lease.count());
  } else {
    message.mutable_refusal()->set_retry_after_ms(verdict.retry_after.count());
  }
  for (const TargetDecision& decision : verdict.decisions) {
    pb::TargetDecision& built = *message.add_decisions();
    built.set_decision(static_cast<pb::AdmitDecision>(decision.decision));
    built.set_reason(static_cast<pb::RefusalReason>(decision.reason));
    built.set_retry_after_ms(decision.retry_after.count());
    built.set_overruled_reason(static_cast<pb::RefusalReason>(decision.overruled));
  }
  if (!verdict.client_limits) return;
  const LimitStatus& status = *verdict.client_limits;
  pb::ClientLimitStatus& limits = *message.mutable_client_limits();
  limits.set_requests_per_minute(status.requests.per_minute);
  limits.set_requests_remaining(status.requests.remaining);
  limits.set_requests_reset_ms(status.requests.reset.count());
  limits.set_tokens_per_minute(status.tokens.per_minute);
  limits.set_tokens_remaining(status.tokens.remaining);
  limits.set_tokens_reset_ms(status.tokens.reset.count());
}

void BuildAck(uint64_t sequence_number, AckStatus status, pb::ReportAck& message) {
  message.set_sequence_number(sequence_number);
  message.set_status(static_cast<pb::AckStatus>(status));
}

}  // namespace ratelimitd
