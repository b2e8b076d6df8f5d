// The question to ratelimitd and its answer as plain values, so that pure code and tests need no
// RPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/core/client_limits.h"
#include "gateway/core/outcome.h"

namespace gateway {

enum class AskMode : uint8_t { kFirstAvailable, kPeek };

struct AdmissionVerdict {
  enum class Kind : uint8_t {
    kGranted,
    kRefused,
    kUnreachable,  // no answer in time: ratelimitd is away, slow or draining
  };
  Kind kind = Kind::kUnreachable;
  size_t target_index = 0;  // into the targets asked about; granted only
  std::string token;        // granted only
  // Targets looked at and not admitted.
  std::vector<RefusedTarget> refused;
  // Until the first target of the ask would be admitted; refused (or peeked and refused) only.
  std::chrono::milliseconds retry_after{0};
  bool is_client_limit = false;                    // the caller's own limit refused it
  bool is_degraded = false;                        // told from a last known state
  std::optional<ClientLimitStatus> client_limits;  // where the client stands; nothing: unlimited
};

// What ratelimitd is told of one attempt.
struct AttemptReport {
  enum class Kind : uint8_t {
    kSuccess,
    kStreamStarted,  // provisional success; a final report follows
    kFailure,
  };
  Kind kind = Kind::kSuccess;
  Charge charge = Charge::kNotSent;  // failures only
  std::string token;                 // empty when nobody could be asked
  common::Target target;
  int http_status = 0;  // 0: none
  std::string provider_code;
  RetryTiming timing;
  std::chrono::milliseconds time_to_first_byte{0};
  std::chrono::milliseconds duration{0};
  int64_t tokens_used = 0;
  std::string credential_fingerprint;  // of the refused one, with kAuthFailed
};

}  // namespace gateway
