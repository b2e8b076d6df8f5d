// However a stream of a Responses API is cut, the client gets the same; one that is not complete
// never shows the event of success. A whole answer is one or a failure with a status that says so.
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "gateway/core/sse.h"
#include "gateway/dialects/dialect.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

constexpr auto kEndpoint = gateway::Endpoint::kResponses;

struct Result {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::FailureKind> failure;
  int64_t tokens = 0;
  int64_t next_sequence_number = 0;
  std::string response_id;
  bool operator==(const Result&) const = default;
};

void Add(const gateway::StreamStep& step, Result& result) {
  Require(!step.failure || !step.is_complete);
  Require(step.client_bytes.empty() || step.is_committed);
  result.client_bytes += step.client_bytes;
  result.is_committed |= step.is_committed;
  result.is_complete |= step.is_complete;
  if (step.failure) result.failure = step.failure->kind;
}

Result ReadStream(const std::vector<std::string>& pieces) {
  const auto reader = gateway::FindDialect("openai")->NewRelayedStream(kEndpoint);
  Result result;
  for (const std::string& piece : pieces) {
    if (!result.is_complete && !result.failure) Add(reader->Feed(piece), result);
  }
  if (!result.is_complete && !result.failure) Add(reader->Finish(), result);
  Require(result.is_complete != result.failure.has_value());
  result.tokens = reader->TokensUsed();
  Require(result.tokens >= 0);
  result.next_sequence_number = reader->position().next_sequence_number;
  result.response_id = reader->position().response_id;
  return result;
}

// Which of two members of one name counts is for nobody to say.
bool IsSuccess(std::string_view data) {
  constexpr std::string_view kType = "\"type\"";
  const bool is_clear = data.find(kType) == data.rfind(kType);
  const auto json = nlohmann::json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!is_clear || !json.is_object() || !json.contains("type")) return false;
  return json["type"] == "response.completed";
}

void CheckEnd(const Result& result) {
  gateway::SseReader reader(1 << 20);
  reader.Feed(result.client_bytes);
  while (const auto event = reader.Next()) {
    Require(result.is_complete || !event->has_data || !IsSuccess(event->data));
  }
}

void CheckWhole(std::string_view body) {
  const gateway::Headers headers;
  const auto failure =
      gateway::FindDialect("openai")->ClassifyReply(kEndpoint, {200, headers, body, {}});
  Require(!failure || gateway::ClientStatus(*failure) >= 400);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  CheckWhole(input.text);
  const std::string text(input.text);
  const size_t cut = candor_test::CutAt(input);
  const Result whole = ReadStream({text});
  Require(whole == ReadStream({text.substr(0, cut), text.substr(cut)}));
  CheckEnd(whole);
  return 0;
}
