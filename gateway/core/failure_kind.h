// THE table of failures: whatever is known about a kind of failure is a column here. The README
// shows the same table; a test holds the two together. Everything here is constant and thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace gateway {

enum class FailureKind : uint8_t {
  kRateLimited,
  kQuotaExhausted,
  kOverloaded,
  kUpstreamError,
  kUpstreamTimeout,
  kUpstreamUnreachable,
  kUpstreamMalformed,
  kUpstreamInterrupted,
  kProviderAuth,
  kModelNotFound,
  kInvalidRequest,
  kUnprocessable,
  kTooLarge,
  kContentFilter,
  kContextLength,
  kNoProviderAvailable,
  kGatewayOverloaded,
  kClientRateLimited,
  kClientAuth,
  kClientForbidden,
  kUnknownModel,
  kUnknownRoute,
  kBadMethod,
  kBadRequest,
  kBodyTooLarge,
  kHeadersTooLarge,
  kRequestTimeout,
  kDeadlineExceeded,
  kClientCancelled,
  kGatewayInternal,
};

// Who must act.
enum class Fault : uint8_t { kProvider, kOperator, kCaller, kGateway };

// Whether another target may be tried.
enum class Fallback : uint8_t { kNo, kYes, kBeforeCommit };

// What ratelimitd is told.
enum class Charge : uint8_t {
  kRateLimited,
  kQuotaExhausted,
  kOverloaded,
  kUpstreamError,
  kTimeout,
  kUnreachable,
  kMalformed,
  kInterrupted,
  kAuthFailed,
  kModelNotFound,
  kCallerError,
  kCancelled,
  kNotSent,
};

// Which statuses of the provider survive to the client. Whatever survives, a 5xx outside 500, 502,
// 503, 504 is folded: 529 to 503, 522 and 524 to 504, others to 502.
enum class StatusPolicy : uint8_t {
  kFixed,     // none
  kProvider,  // 429 and 5xx
  kBilling,   // 429 and 5xx; another 4xx becomes 502, since it does not concern the caller's purse
  kModel,     // 400, 404, 410, 422 and 5xx
  kCaller,    // 4xx but 401, 402, 407, 408; and 5xx
};

struct FailureRule {
  FailureKind kind;
  std::string_view name;  // stable: header x-candor-error, log, metric label
  Fault fault;
  int status;  // to the client, unless the upstream's own survives
  StatusPolicy status_policy;
  bool is_retryable;  // x-should-retry
  Fallback fallback;
  Charge charge;
  int hope;               // which of several failures the client is told: the highest
  std::string_view type;  // OpenAI's word when the provider gave none
  std::string_view code;
  std::string_view anthropic_type;
};

std::span<const FailureRule> FailureTable();
const FailureRule& RuleFor(FailureKind kind);
std::string_view FaultName(Fault fault);
std::string_view FallbackName(Fallback fallback);
std::string_view ChargeName(Charge charge);

// The status the client gets for `kind` when the upstream answered `upstream_status` (0: no
// answer): see StatusPolicy.
int ClientStatus(FailureKind kind, int upstream_status);

}  // namespace gateway
