// A chat completion that is translated: however a stream is cut, the client gets the same; one that
// is not complete never shows the marker of success; a whole answer that is accepted is never
// empty.
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

struct Result {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::FailureKind> failure;
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

Result ReadStream(const std::vector<std::string_view>& pieces) {
  const gateway::Conversation conversation;
  gateway::TranslatedStream stream(
      std::make_unique<gateway::OpenAiChatDeltaParser>(),
      gateway::OpenAiChatClient().NewStreamRenderer({conversation, "1", 1}));
  Result result;
  for (const std::string_view piece : pieces) {
    if (!result.is_complete && !result.failure) Add(stream.Feed(piece), result);
  }
  if (!result.is_complete && !result.failure) Add(stream.Finish(), result);
  Require(result.is_complete != result.failure.has_value());
  return result;
}

void CheckWhole(std::string_view body) {
  const auto read = gateway::FindDialect("openai")->ReadAnswer(
      {200, gateway::Headers(), body, common::WallTime()});
  if (const auto* answer = std::get_if<gateway::Answer>(&read)) {
    Require(!gateway::IsEmpty(*answer));
    const gateway::Conversation conversation;
    Require(!gateway::OpenAiChatClient().RenderAnswer(*answer, {conversation, "1", 1}).empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  CheckWhole(input.text);
  const size_t cut = candor_test::CutAt(input);
  const Result whole = ReadStream({input.text});
  Require(whole == ReadStream({input.text.substr(0, cut), input.text.substr(cut)}));
  const bool shows_end = whole.client_bytes.ends_with("data: [DONE]\n\n");
  Require(shows_end == whole.is_complete);
  return 0;
}
