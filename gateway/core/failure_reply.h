// A failure, rendered for the client: status, headers and body in the client's dialect, or an event
// inside a stream that has begun. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gateway/core/endpoint.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

namespace gateway {

// What surrounds the failure in the reply.
struct ReplyContext {
  std::string request_id;
  common::Target target;  // answered or tried last; empty names when no provider was asked
  const std::vector<AttemptRecord>& attempts;
  const std::vector<RefusedTarget>& refused;
  // When the next attempt would be admitted, as ratelimitd says; nothing when it could not be
  // asked.
  std::optional<std::chrono::milliseconds> admitted_after;
  // Longest wait worth keeping in the caller's process; above it x-should-retry is false.
  std::chrono::milliseconds max_client_wait{60'000};
  // Words that must not reach the caller (credentials, hosts of base URLs).
  const std::vector<std::string>& secrets;
  // Events of a Responses stream are numbered: the number of the next one, and the id of the
  // response that has begun.
  int64_t sequence_number = 0;
  std::string response_id = {};
};

struct FailureReply {
  int status = 500;
  // retry-after, retry-after-ms, x-should-retry, x-candor-error; not the headers of every response.
  std::vector<HeaderField> headers;
  std::string body;  // application/json
};

// `endpoint` absent: the route was unknown; the OpenAI envelope is used.
FailureReply RenderFailure(const Failure& failure, std::optional<Endpoint> endpoint,
                           const ReplyContext& context);

// Whole seconds of `wait`, rounded up, at least 1: the value of retry-after.
int64_t RetryAfterSeconds(std::chrono::milliseconds wait);

// The bytes that end a stream after the commit point: never the marker of success.
std::string RenderStreamFailure(const Failure& failure, Endpoint endpoint,
                                const ReplyContext& context);

// "azure:rate_limited:41ms, openai:ok:812ms": the header x-candor-attempts.
std::string RenderAttempts(const std::vector<AttemptRecord>& attempts);

}  // namespace gateway
