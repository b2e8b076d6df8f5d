// What one attempt amounted to. The reply to the client and the report to ratelimitd are two
// renderings of this one value.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/target.h"
#include "gateway/core/failure_kind.h"
#include "gateway/core/headers.h"

namespace gateway {

enum class LimitScope : uint8_t { kTarget, kProvider };

// What a provider said about time. Read by retry_timing; plausible but not yet clamped.
struct RetryTiming {
  // From the moment the response arrived. Nothing when it gave no figure, or an absurd one.
  std::optional<std::chrono::milliseconds> retry_after;
  LimitScope scope = LimitScope::kTarget;
};

struct Failure {
  FailureKind kind = FailureKind::kGatewayInternal;
  int upstream_status = 0;  // on the wire; 0: the provider gave none
  // The HTTP status that the error names in its body, for instance the 524 inside a 200; 0: none.
  int meant_status = 0;
  // The same request cannot succeed at this target however long one waits, for instance because it
  // is larger than the whole rate limit.
  bool is_permanent = false;
  std::string message;  // for people; the provider's own words where it had any
  std::string type;     // the provider's own words; empty: the table's
  std::string param;    // JSON text: a quoted string or "null"; empty means null
  std::string code;     // empty: the table's
  // The provider's whole error object as JSON when it speaks the client's dialect, so that its
  // fields stay verbatim; else empty.
  std::string error_object;
  // What the provider called it, in whatever dialect, for logs and reports; may be empty.
  std::string provider_code;
  // No table knows the provider's code: the status class has decided, and the code is counted.
  bool has_unknown_code = false;
  RetryTiming timing;
  // Where it came from, filled in by the exchange.
  common::Target target;
  std::string upstream_request_id;
  std::vector<HeaderField> rate_limit_headers;  // the provider's, to be passed on
};

// A failure of which no more is known than this.
Failure MakeFailure(FailureKind kind, std::string message);

// The gateway itself has no room: kGatewayOverloaded with a wait of one to two seconds. `chance` in
// [0, 1) spreads those who are turned away in the same moment.
Failure MakeOverloaded(std::string message, double chance);

// Whether the client is told to try again: the table's word, unless the failure is permanent.
bool IsRetryable(const Failure& failure);

// What ratelimitd is told: the table's word, except that a request which is larger than the whole
// rate limit says nothing about how full that limit is.
Charge ChargeFor(const Failure& failure);
// The same where no model was asked (AsksModel): what is limited or in trouble there is another
// service, with limits of its own, but the host, the credential and the account are the same.
Charge ChargeWithoutModel(const Failure& failure);

// The status for the client.
int ClientStatus(const Failure& failure);

// One line of the trail that the client, the log and the error body show.
struct AttemptRecord {
  common::Target target;
  std::optional<FailureKind> failure;  // nothing: it answered
  std::string refused_reason;          // not empty: ratelimitd refused it, for instance "backoff"
  int upstream_status = 0;
  std::chrono::milliseconds duration{0};
};

// A target that ratelimitd would not let us ask.
struct RefusedTarget {
  common::Target target;
  std::string reason;  // "backoff", "breaker", "probing", "ramping", "quota", "auth", "limit",
                       // "drained", "client_limit", "retry_budget"
  std::chrono::milliseconds retry_after{0};
};

}  // namespace gateway
