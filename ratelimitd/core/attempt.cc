#include "ratelimitd/core/attempt.h"

#include <array>

namespace ratelimitd {
namespace {

constexpr std::array<std::string_view, kOutcomeKinds> kOutcomeNames = {
    "unspecified",     "success",        "stream_started",  "rate_limited",
    "overloaded",      "upstream_error", "timeout",         "unreachable",
    "malformed",       "interrupted",    "quota_exhausted", "auth_failed",
    "model_not_found", "caller_error",   "cancelled",       "not_sent"};

constexpr std::array<std::string_view, kRefusalReasons> kReasonNames = {
    "none",        "rate_limited", "breaker_open", "probes_busy",  "ramping",     "quota_exhausted",
    "auth_failed", "local_limit",  "drained",      "client_limit", "retry_budget"};

constexpr std::array<std::string_view, kAckStatuses> kAckNames = {"unspecified", "applied",
                                                                  "duplicate", "stale"};

}  // namespace

std::string_view OutcomeName(OutcomeKind kind) { return kOutcomeNames[static_cast<size_t>(kind)]; }

std::string_view ReasonName(RefusalReason reason) {
  return kReasonNames[static_cast<size_t>(reason)];
}

std::string_view AckName(AckStatus status) { return kAckNames[static_cast<size_t>(status)]; }

}  // namespace ratelimitd
