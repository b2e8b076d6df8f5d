// The head of every reply to a client: status line, the headers every response carries, and what a
// particular one adds. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/target.h"
#include "gateway/core/endpoint.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

namespace gateway {

enum class AfterReply : uint8_t { kKeepAlive, kClose };

struct ReplyHead {
  int status = 200;
  std::string_view content_type = "application/json";
  // Nothing: a stream, in chunks (or up to the close for HTTP/1.0).
  std::optional<size_t> content_length;
  int http_minor = 1;  // of the client
  AfterReply after = AfterReply::kKeepAlive;
  std::optional<Endpoint> endpoint;
  std::string_view request_id;
  const common::Target* target = nullptr;  // answered or tried last; null: "none"
  const std::vector<AttemptRecord>* attempts = nullptr;
  std::chrono::milliseconds latency{0};
  std::chrono::milliseconds overhead{0};
  std::string_view degraded;  // empty: not degraded
  std::string_view upstream_request_id;
  common::WallTime now;
};

// Ends in the empty line. Values are made safe: a byte that may not stand in a header becomes '?'.
std::string RenderReplyHead(const ReplyHead& head, const std::vector<HeaderField>& more);

// Whether a provider's response header is for the client's eyes: its rate limits and timing.
bool IsPassedOn(std::string_view lower_case_name);

// Of `headers`, those that IsPassedOn.
std::vector<HeaderField> PassedOnHeaders(const Headers& headers);

}  // namespace gateway
