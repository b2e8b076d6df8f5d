// The words in which gateways ask and report: values without behaviour, the core's side of
// proto/candor/ratelimitd/v1/admission.proto. Enumerators have the numbers of the proto. String
// views live only for the call they are passed to.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"

namespace ratelimitd {

using common::MonotonicTime;
using std::chrono::milliseconds;

enum class OutcomeKind : uint8_t {
  kSuccess = 1,
  kStreamStarted = 2,
  kRateLimited = 3,
  kOverloaded = 4,
  kUpstreamError = 5,
  kTimeout = 6,
  kUnreachable = 7,
  kMalformed = 8,
  kInterrupted = 9,
  kQuotaExhausted = 10,
  kAuthFailed = 11,
  kModelNotFound = 12,
  kCallerError = 13,
  kCancelled = 14,
  kNotSent = 15,
};
inline constexpr int kOutcomeKinds = 16;

constexpr bool IsSuccess(OutcomeKind kind) {
  return kind == OutcomeKind::kSuccess || kind == OutcomeKind::kStreamStarted;
}

enum class LimitScope : uint8_t { kTarget = 1, kProvider = 2 };

enum class AckStatus : uint8_t { kApplied = 1, kDuplicate = 2, kStale = 3 };
inline constexpr int kAckStatuses = 4;

enum class Decision : uint8_t { kAdmit = 1, kAdmitProbe = 2, kReject = 3 };

enum class RefusalReason : uint8_t {
  kNone = 0,
  kRateLimited = 1,
  kBreakerOpen = 2,
  kProbesBusy = 3,
  kRamping = 4,
  kQuotaExhausted = 5,
  kAuthFailed = 6,
  kLocalLimit = 7,
  kDrained = 8,
  kClientLimit = 9,
  kRetryBudget = 10,
};
inline constexpr int kRefusalReasons = 11;

enum class AdmitMode : uint8_t { kFirstAvailable = 1, kPeek = 2 };

// "success", "rate_limited": for metrics, logs and sentences.
std::string_view OutcomeName(OutcomeKind kind);
std::string_view ReasonName(RefusalReason reason);
std::string_view AckName(AckStatus status);

struct TargetName {
  std::string_view provider;
  std::string_view model;
};

// How long a probe's permit lives without a report.
enum class LeaseKind : uint8_t {
  kFixed,    // a unary caller: until the lease runs out
  kSession,  // renewed for as long as the reporter's session lives
};

struct Ask {
  std::string_view reporter{};
  LeaseKind lease_kind = LeaseKind::kFixed;
  std::span<const TargetName> targets{};
  AdmitMode mode = AdmitMode::kFirstAvailable;
  std::string_view client_name{};
  int64_t cost_tokens = 0;
  milliseconds attempt_timeout{0};  // 0: unknown
  // A further attempt for a request that the client's limits have admitted and counted. Only such
  // asks stand under the retry budget.
  bool is_continuation = false;
};

// What is left of the limits of a client.
struct LimitStatus {
  struct Of {
    int64_t per_minute = 0;  // 0: unlimited
    int64_t remaining = 0;
    milliseconds reset{0};  // until all of it is there again
  };
  Of requests;
  Of tokens;
};

struct TargetDecision {
  Decision decision = Decision::kReject;
  RefusalReason reason = RefusalReason::kNone;
  milliseconds retry_after{0};  // 0 if and only if admitted
  // Admitted by an operator's word: why it would else have been refused.
  RefusalReason overruled = RefusalReason::kNone;
};

struct Verdict {
  int granted_index = -1;       // -1: refused
  std::string token;            // empty when refused or peeked
  milliseconds lease{0};        // 0: no lease
  milliseconds retry_after{0};  // positive if and only if refused
  std::vector<TargetDecision> decisions;
  std::optional<LimitStatus> client_limits;  // after this decision; nothing: it has none
};

struct AttemptReport {
  std::string_view reporter{};
  uint64_t sequence_number = 0;
  std::string_view token{};            // empty: the attempt was made without asking
  std::optional<TargetName> target{};  // used when the token is empty or from an earlier life
  OutcomeKind kind = OutcomeKind::kSuccess;
  milliseconds age{0};
  int http_status = 0;
  std::string_view provider_code{};
  std::optional<milliseconds> retry_after{};
  LimitScope limit_scope = LimitScope::kTarget;
  int64_t tokens_used = 0;
  std::string_view credential_fingerprint{};  // with kAuthFailed; empty: unknown
};

}  // namespace ratelimitd
