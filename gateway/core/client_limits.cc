#include "gateway/core/client_limits.h"

#include <string>
#include <string_view>

#include "common/concat.h"
#include "gateway/core/time_text.h"

namespace gateway {
namespace {

constexpr int64_t kBytesPerToken = 4;

void Append(std::string_view of, const LimitStatus& status, std::vector<HeaderField>& headers) {
  if (status.limit == 0) return;
  headers.push_back({common::Concat("x-ratelimit-limit-", of), common::Concat(status.limit)});
  headers.push_back(
      {common::Concat("x-ratelimit-remaining-", of), common::Concat(status.remaining)});
  headers.push_back({common::Concat("x-ratelimit-reset-", of), RenderUnitDuration(status.reset)});
}

}  // namespace

std::vector<HeaderField> RenderLimitHeaders(const ClientLimitStatus& status) {
  std::vector<HeaderField> headers;
  Append("requests", status.requests, headers);
  Append("tokens", status.tokens, headers);
  return headers;
}

int64_t EstimateTokens(size_t body_bytes) {
  return (static_cast<int64_t>(body_bytes) + kBytesPerToken - 1) / kBytesPerToken;
}

}  // namespace gateway
