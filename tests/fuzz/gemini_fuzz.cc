// Gemini's answers, whole and streamed: however a stream is cut, the client gets the same; without
// a finish reason nothing is complete; what is no answer is a failure with a status that says so.
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

struct Result {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::FailureKind> failure;
  int64_t tokens = 0;
  bool operator==(const Result&) const = default;
};

void Add(const gateway::StreamStep& step, Result& result) {
  Require(!step.failure || !step.is_complete);
  Require(step.client_bytes.empty() || step.is_committed);
  Require(!step.failure || gateway::ClientStatus(*step.failure) >= 400);
  result.client_bytes += step.client_bytes;
  result.is_committed |= step.is_committed;
  result.is_complete |= step.is_complete;
  if (step.failure) result.failure = step.failure->kind;
}

Result ReadStream(const std::vector<std::string>& pieces) {
  static const gateway::Conversation conversation;
  const auto* client = gateway::FindClientDialect(gateway::Endpoint::kChatCompletions);
  gateway::TranslatedStream reader(
      gateway::FindDialect("gemini")->NewDeltaParser(),
      client->NewStreamRenderer({.conversation = conversation, .id = "id", .now_seconds = 1}));
  Result result;
  for (const std::string& piece : pieces) {
    if (!result.is_complete && !result.failure) Add(reader.Feed(piece), result);
  }
  if (!result.is_complete && !result.failure) Add(reader.Finish(), result);
  result.tokens = reader.TokensUsed();
  return result;
}

bool IsAnswer(std::string_view body) {
  const gateway::Headers headers;
  const auto read = gateway::FindDialect("gemini")->ReadAnswer({200, headers, body, {}});
  const auto* failure = std::get_if<gateway::Failure>(&read);
  Require(failure == nullptr || gateway::ClientStatus(*failure) >= 400);
  Require(failure != nullptr || !std::get<gateway::Answer>(read).choices.empty());
  return failure == nullptr;
}

// JSON may write the letters of a name as escapes.
bool MayHaveFinished(std::string_view text) {
  return text.find("finishReason") != std::string_view::npos ||
         text.find('\\') != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const std::string text(input.text);
  const size_t cut = candor_test::CutAt(input);
  const Result whole = ReadStream({text});
  Require(whole == ReadStream({text.substr(0, cut), text.substr(cut)}));
  Require(whole.is_complete != whole.failure.has_value());
  Require(whole.is_complete || whole.client_bytes.find("\ndata: [DONE]") == std::string::npos);
  Require(!whole.is_complete || MayHaveFinished(text));
  Require(!IsAnswer(text) || MayHaveFinished(text));
  return 0;
}
