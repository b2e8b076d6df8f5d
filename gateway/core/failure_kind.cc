#include "gateway/core/failure_kind.h"

#include <array>

namespace gateway {
namespace {

using enum FailureKind;

// Words that several rows share.
constexpr std::string_view kCallerType = "invalid_request_error";
constexpr std::string_view kServerType = "server_error";

// Hope: the caller's own mistake ends an exchange at once, so it outranks everything; among
// providers' failures the one that promises the earliest success comes first. That the caller's
// time is up says least.
constexpr std::array kTable = {
    // kind, name, fault, status, status policy, retry, fallback, charge, hope,
    // OpenAI's type, code, Anthropic's type
    FailureRule{kRateLimited, "rate_limited", Fault::kProvider, 429, StatusPolicy::kProvider, true,
                Fallback::kYes, Charge::kRateLimited, 90, "rate_limit_error", "rate_limit_exceeded",
                "rate_limit_error"},
    FailureRule{kQuotaExhausted, "quota_exhausted", Fault::kOperator, 429, StatusPolicy::kBilling,
                false, Fallback::kYes, Charge::kQuotaExhausted, 30, "insufficient_quota",
                "insufficient_quota", "billing_error"},
    FailureRule{kOverloaded, "overloaded", Fault::kProvider, 503, StatusPolicy::kProvider, true,
                Fallback::kYes, Charge::kOverloaded, 80, kServerType, "server_is_overloaded",
                "overloaded_error"},
    FailureRule{kUpstreamError, "upstream_error", Fault::kProvider, 502, StatusPolicy::kProvider,
                true, Fallback::kYes, Charge::kUpstreamError, 60, kServerType, "upstream_error",
                "api_error"},
    FailureRule{kUpstreamTimeout, "upstream_timeout", Fault::kProvider, 504,
                StatusPolicy::kProvider, true, Fallback::kYes, Charge::kTimeout, 70, kServerType,
                "upstream_timeout", "timeout_error"},
    FailureRule{kUpstreamUnreachable, "upstream_unreachable", Fault::kProvider, 502,
                StatusPolicy::kFixed, true, Fallback::kYes, Charge::kUnreachable, 50, kServerType,
                "upstream_unreachable", "api_error"},
    FailureRule{kUpstreamMalformed, "upstream_malformed", Fault::kProvider, 502,
                StatusPolicy::kFixed, true, Fallback::kYes, Charge::kMalformed, 40, kServerType,
                "upstream_malformed", "api_error"},
    FailureRule{kUpstreamInterrupted, "upstream_interrupted", Fault::kProvider, 502,
                StatusPolicy::kFixed, true, Fallback::kBeforeCommit, Charge::kInterrupted, 40,
                kServerType, "upstream_interrupted", "api_error"},
    FailureRule{kProviderAuth, "provider_auth", Fault::kOperator, 502, StatusPolicy::kProvider,
                false, Fallback::kYes, Charge::kAuthFailed, 20, kServerType, "provider_auth",
                "api_error"},
    FailureRule{kModelNotFound, "model_not_found", Fault::kOperator, 404, StatusPolicy::kModel,
                false, Fallback::kYes, Charge::kModelNotFound, 10, kCallerType, "model_not_found",
                "not_found_error"},
    FailureRule{kInvalidRequest, "invalid_request", Fault::kCaller, 400, StatusPolicy::kCaller,
                false, Fallback::kNo, Charge::kCallerError, 100, kCallerType, "invalid_request",
                kCallerType},
    FailureRule{kUnprocessable, "unprocessable", Fault::kCaller, 422, StatusPolicy::kCaller, false,
                Fallback::kNo, Charge::kCallerError, 100, kCallerType, "unprocessable",
                kCallerType},
    FailureRule{kTooLarge, "too_large", Fault::kCaller, 413, StatusPolicy::kCaller, false,
                Fallback::kNo, Charge::kCallerError, 100, kCallerType, "request_too_large",
                "request_too_large"},
    FailureRule{kContentFilter, "content_filter", Fault::kCaller, 400, StatusPolicy::kCaller, false,
                Fallback::kNo, Charge::kCallerError, 100, kCallerType, "content_filter",
                kCallerType},
    FailureRule{kContextLength, "context_length", Fault::kCaller, 400, StatusPolicy::kCaller, false,
                Fallback::kNo, Charge::kCallerError, 100, kCallerType, "context_length_exceeded",
                kCallerType},
    FailureRule{kNoProviderAvailable, "no_provider_available", Fault::kProvider, 503,
                StatusPolicy::kFixed, true, Fallback::kNo, Charge::kNotSent, 5, kServerType,
                "no_provider_available", "overloaded_error"},
    FailureRule{kGatewayOverloaded, "gateway_overloaded", Fault::kGateway, 503,
                StatusPolicy::kFixed, true, Fallback::kNo, Charge::kNotSent, 100, kServerType,
                "gateway_overloaded", "overloaded_error"},
    FailureRule{kClientRateLimited, "client_rate_limited", Fault::kCaller, 429,
                StatusPolicy::kFixed, true, Fallback::kNo, Charge::kNotSent, 100,
                "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"},
    FailureRule{kClientAuth, "client_auth", Fault::kCaller, 401, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, "authentication_error", "invalid_api_key",
                "authentication_error"},
    FailureRule{kClientForbidden, "client_forbidden", Fault::kCaller, 403, StatusPolicy::kFixed,
                false, Fallback::kNo, Charge::kNotSent, 100, "permission_error",
                "insufficient_permissions", "permission_error"},
    FailureRule{kUnknownModel, "unknown_model", Fault::kCaller, 404, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, kCallerType, "model_not_found",
                "not_found_error"},
    FailureRule{kUnknownRoute, "unknown_route", Fault::kCaller, 404, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, kCallerType, "unknown_url",
                "not_found_error"},
    FailureRule{kBadMethod, "bad_method", Fault::kCaller, 405, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, kCallerType, "method_not_supported",
                kCallerType},
    FailureRule{kBadRequest, "bad_request", Fault::kCaller, 400, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, kCallerType, "bad_request", kCallerType},
    FailureRule{kBodyTooLarge, "body_too_large", Fault::kCaller, 413, StatusPolicy::kFixed, false,
                Fallback::kNo, Charge::kNotSent, 100, kCallerType, "request_too_large",
                "request_too_large"},
    FailureRule{kHeadersTooLarge, "headers_too_large", Fault::kCaller, 431, StatusPolicy::kFixed,
                false, Fallback::kNo, Charge::kNotSent, 100, kCallerType, "headers_too_large",
                kCallerType},
    FailureRule{kRequestTimeout, "request_timeout", Fault::kCaller, 408, StatusPolicy::kFixed,
                false, Fallback::kNo, Charge::kNotSent, 100, kCallerType, "request_timeout",
                kCallerType},
    // Not 408, which says that the request came too slowly. No retry: a client that still had time
    // to wait would have given it.
    FailureRule{kDeadlineExceeded, "deadline_exceeded", Fault::kCaller, 504, StatusPolicy::kFixed,
                false, Fallback::kNo, Charge::kCancelled, 1, kServerType, "deadline_exceeded",
                "timeout_error"},
    FailureRule{kClientCancelled, "client_cancelled", Fault::kCaller, 499, StatusPolicy::kFixed,
                false, Fallback::kNo, Charge::kCancelled, 100, kCallerType, "client_cancelled",
                kCallerType},
    FailureRule{kGatewayInternal, "gateway_internal", Fault::kGateway, 500, StatusPolicy::kFixed,
                true, Fallback::kNo, Charge::kNotSent, 100, kServerType, "internal_error",
                "api_error"},
};

constexpr bool IsInOrder() {
  for (size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<size_t>(kTable[i].kind) != i) return false;
  }
  return true;
}
static_assert(kTable.size() == static_cast<size_t>(kGatewayInternal) + 1,
              "every kind of failure needs a row");
static_assert(IsInOrder(), "rows must follow the order of enum FailureKind");

int FoldServerStatus(int status) {
  switch (status) {
    case 500:
    case 502:
    case 503:
    case 504:
      return status;
    case 529:  // Anthropic: overloaded.
      return 503;
    case 522:  // Cloudflare: connecting to the origin timed out.
    case 524:  // Cloudflare: the origin did not answer in time.
      return 504;
    default:
      return 502;
  }
}

// A caller who made a mistake in its body has not failed to log in, to pay or to send in time.
bool MayBlameTheCaller(int status) {
  return status != 401 && status != 402 && status != 407 && status != 408;
}

bool NamesAMissingModel(int status) {
  return status == 400 || status == 404 || status == 410 || status == 422;
}

}  // namespace

std::span<const FailureRule> FailureTable() { return kTable; }

const FailureRule& RuleFor(FailureKind kind) { return kTable[static_cast<size_t>(kind)]; }

std::string_view FaultName(Fault fault) {
  switch (fault) {
    case Fault::kProvider:
      return "provider";
    case Fault::kOperator:
      return "operator";
    case Fault::kCaller:
      return "caller";
    case Fault::kGateway:
      return "gateway";
  }
  return "gateway";
}

std::string_view FallbackName(Fallback fallback) {
  switch (fallback) {
    case Fallback::kNo:
      return "no";
    case Fallback::kYes:
      return "yes";
    case Fallback::kBeforeCommit:
      return "before output";
  }
  return "no";
}

std::string_view ChargeName(Charge charge) {
  switch (charge) {
    case Charge::kRateLimited:
      return "rate_limited";
    case Charge::kQuotaExhausted:
      return "quota_exhausted";
    case Charge::kOverloaded:
      return "overloaded";
    case Charge::kUpstreamError:
      return "upstream_error";
    case Charge::kTimeout:
      return "timeout";
    case Charge::kUnreachable:
      return "unreachable";
    case Charge::kMalformed:
      return "malformed";
    case Charge::kInterrupted:
      return "interrupted";
    case Charge::kAuthFailed:
      return "auth_failed";
    case Charge::kModelNotFound:
      return "model_not_found";
    case Charge::kCallerError:
      return "caller_error";
    case Charge::kCancelled:
      return "cancelled";
    case Charge::kNotSent:
      return "not_sent";
  }
  return "not_sent";
}

int ClientStatus(FailureKind kind, int upstream_status) {
  const FailureRule& rule = RuleFor(kind);
  if (rule.status_policy == StatusPolicy::kFixed) return rule.status;
  if (upstream_status >= 500 && upstream_status <= 599) return FoldServerStatus(upstream_status);
  if (upstream_status < 400 || upstream_status > 499) return rule.status;
  switch (rule.status_policy) {
    case StatusPolicy::kFixed:
      return rule.status;
    case StatusPolicy::kProvider:
      return upstream_status == 429 ? 429 : rule.status;
    case StatusPolicy::kBilling:
      return upstream_status == 429 ? 429 : 502;
    case StatusPolicy::kModel:
      return NamesAMissingModel(upstream_status) ? upstream_status : rule.status;
    case StatusPolicy::kCaller:
      return MayBlameTheCaller(upstream_status) ? upstream_status : rule.status;
  }
  return rule.status;
}

}  // namespace gateway
