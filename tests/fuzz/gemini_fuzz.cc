// Gemini's answers, whole and streamed: however a stream is cut, the client gets the same; without
// a finish reason nothing is complete; what is no answer is a failure with a status that says so.
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/dialect.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/fuzz/read_stream.h"

namespace {

using candor_test::Require;

candor_test::StreamResult Read(const std::vector<std::string_view>& pieces) {
  static const gateway::Conversation conversation;
  const auto* client = gateway::FindClientDialect(gateway::Endpoint::kChatCompletions);
  gateway::TranslatedStream reader(
      gateway::FindDialect("gemini")->NewDeltaParser(),
      client->NewStreamRenderer({.conversation = conversation, .id = "id", .now_seconds = 1}));
  return candor_test::ReadSoundStream(reader, pieces);
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
  const std::string_view text = input.text;
  const candor_test::StreamResult whole = Read({text});
  Require(whole == Read(candor_test::CutInTwo(input)));
  Require(whole.is_complete || whole.client_bytes.find("\ndata: [DONE]") == std::string::npos);
  Require(!whole.is_complete || MayHaveFinished(text));
  Require(!IsAnswer(text) || MayHaveFinished(text));
  return 0;
}
