// Reads a provider's stream to its end, cut into pieces, as the exchange does. For unit tests and
// fuzzers, which judge the result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/outcome.h"
#include "gateway/dialects/dialect.h"

namespace candor_test {

struct StreamResult {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::Failure> failure;
  int64_t tokens = 0;
  gateway::StreamPosition position;
  // No step was complete and failed at once, or gave bytes before the commit point.
  bool is_sound = true;

  std::optional<gateway::FailureKind> kind() const {
    return failure ? std::optional(failure->kind) : std::nullopt;
  }
};

// The same to the client and to ratelimitd.
inline bool operator==(const StreamResult& a, const StreamResult& b) {
  return a.kind() == b.kind() && a.client_bytes == b.client_bytes &&
         a.is_committed == b.is_committed && a.is_complete == b.is_complete &&
         a.tokens == b.tokens &&
         a.position.next_sequence_number == b.position.next_sequence_number &&
         a.position.response_id == b.position.response_id;
}

inline void AddStep(const gateway::StreamStep& step, StreamResult& result) {
  result.is_sound &= !step.failure || !step.is_complete;
  result.is_sound &= step.client_bytes.empty() || step.is_committed;
  result.client_bytes += step.client_bytes;
  result.is_committed |= step.is_committed;
  result.is_complete |= step.is_complete;
  if (step.failure) result.failure = step.failure;
}

inline StreamResult ReadStream(gateway::StreamReader& stream,
                               const std::vector<std::string_view>& pieces) {
  StreamResult result;
  for (const std::string_view piece : pieces) {
    if (result.is_complete || result.failure) break;
    // A copy of its own, so that the address sanitizer sees reads beyond it.
    AddStep(stream.Feed(std::string(piece)), result);
  }
  if (!result.is_complete && !result.failure) AddStep(stream.Finish(), result);
  result.tokens = stream.TokensUsed();
  result.position = stream.position();
  return result;
}

}  // namespace candor_test
