// The limits of one client of the gateway, as configured and as ratelimitd, which keeps the count
// for all replicas, says they stand. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "gateway/core/headers.h"

namespace gateway {

// 0: unlimited.
struct ClientLimits {
  int64_t requests_per_minute = 0;
  int64_t tokens_per_minute = 0;
  int64_t concurrent_requests = 0;

  bool IsUnlimited() const {
    return requests_per_minute == 0 && tokens_per_minute == 0 && concurrent_requests == 0;
  }
};

struct LimitStatus {
  int64_t limit = 0;  // a minute; 0: unlimited, and nothing is said about it
  int64_t remaining = 0;
  std::chrono::milliseconds reset{0};  // until all of it is there again
};

struct ClientLimitStatus {
  LimitStatus requests;
  LimitStatus tokens;
};

// x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests ("6m0s")
// and the same for tokens, as OpenAI names and writes them:
// platform.openai.com/docs/guides/rate-limits.
std::vector<HeaderField> RenderLimitHeaders(const ClientLimitStatus& status);

// What a request of `body_bytes` may cost in tokens before any model has counted: four bytes each,
// as OpenAI estimates English text. Corrected once the provider has counted.
int64_t EstimateTokens(size_t body_bytes);

}  // namespace gateway
