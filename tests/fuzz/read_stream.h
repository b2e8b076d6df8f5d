// Reads a stream to its end and holds it to what every stream must be, whatever its dialect.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/outcome.h"
#include "gateway/dialects/dialect.h"
#include "tests/fuzz/fuzz_input.h"

namespace candor_test {

// What the client has got of a stream. However the bytes are cut, it is the same.
struct StreamResult {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::FailureKind> failure;
  int64_t tokens = 0;
  int64_t next_sequence_number = 0;
  std::string response_id;
  bool operator==(const StreamResult&) const = default;
};

inline void AddStep(const gateway::StreamStep& step, StreamResult& result) {
  Require(!step.failure || !step.is_complete);
  Require(step.client_bytes.empty() || step.is_committed);
  Require(!step.failure || gateway::ClientStatus(*step.failure) >= 400);
  result.client_bytes += step.client_bytes;
  result.is_committed |= step.is_committed;
  result.is_complete |= step.is_complete;
  if (step.failure) result.failure = step.failure->kind;
}

inline StreamResult ReadStream(gateway::StreamReader& stream,
                               const std::vector<std::string_view>& pieces) {
  StreamResult result;
  for (const std::string_view piece : pieces) {
    if (!result.is_complete && !result.failure) AddStep(stream.Feed(piece), result);
  }
  if (!result.is_complete && !result.failure) AddStep(stream.Finish(), result);
  Require(result.is_complete != result.failure.has_value());
  result.tokens = stream.TokensUsed();
  Require(result.tokens >= 0);
  result.next_sequence_number = stream.position().next_sequence_number;
  result.response_id = stream.position().response_id;
  return result;
}

// `text` cut at a place that the input chooses.
inline std::vector<std::string_view> CutInTwo(const FuzzInput& input) {
  const size_t cut = CutAt(input);
  return {input.text.substr(0, cut), input.text.substr(cut)};
}

}  // namespace candor_test
