// A chat completion that is translated: however a stream is cut, the client gets the same; one that
// is not complete never shows the marker of success; a whole answer that is accepted is never
// empty.
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/fuzz/read_stream.h"

namespace {

using candor_test::Require;

candor_test::StreamResult Read(const std::vector<std::string_view>& pieces) {
  const gateway::Conversation conversation;
  gateway::TranslatedStream stream(
      std::make_unique<gateway::OpenAiChatDeltaParser>(),
      gateway::OpenAiChatClient().NewStreamRenderer({conversation, "1", 1}));
  return candor_test::ReadSoundStream(stream, pieces);
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
  const candor_test::StreamResult whole = Read({input.text});
  Require(whole == Read(candor_test::CutInTwo(input)));
  const bool shows_end = whole.client_bytes.ends_with("data: [DONE]\n\n");
  Require(shows_end == whole.is_complete);
  return 0;
}
