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
  int upstream_status = 0;  // 0: the provider gave none
  std::string message;      // for people; the provider's own words where it had any
  std::string type;         // the provider's own words; empty: the table's
  std::string param;        // JSON text: a quoted string or "null"; empty means null
  std::string code;         // empty: the table's
  // The provider's whole error object as JSON when it speaks the client's dialect, so that its
  // fields stay verbatim; else empty.
  std::string error_object;
  RetryTiming timing;
};

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
  std::string
      reason;  // "backoff", "breaker", "probing", "ramping", "quota", "auth", "limit", "drained"
  std::chrono::milliseconds retry_after{0};
};

}  // namespace gateway
