// A message, relayed and translated: however a stream is cut, the client gets the same; one that is
// not complete never shows the marker of success; a whole message that is accepted is never empty.
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/dialects/anthropic.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/translated_stream.h"
#include "tests/fuzz/read_stream.h"

namespace {

using candor_test::ReadSoundStream;
using candor_test::Require;
using Result = candor_test::StreamResult;

Result Relayed(const std::vector<std::string_view>& pieces) {
  const auto stream = gateway::AnthropicDialect().NewRelayedStream(gateway::Endpoint::kMessages,
                                                                   gateway::UsageChunk::kPassed);
  return ReadSoundStream(*stream, pieces);
}

Result Translated(const gateway::ClientDialect& client,
                  const std::vector<std::string_view>& pieces) {
  const gateway::Conversation conversation;
  gateway::TranslatedStream stream(std::make_unique<gateway::AnthropicDeltaParser>(),
                                   client.NewStreamRenderer({conversation, "1", 1}));
  return ReadSoundStream(stream, pieces);
}

void CheckWhole(std::string_view body) {
  const gateway::AnthropicDialect dialect;
  Require(dialect.TokensUsed(gateway::Endpoint::kMessages, body) >= 0);
  const auto read = dialect.ReadAnswer({200, gateway::Headers(), body, common::WallTime()});
  const auto* answer = std::get_if<gateway::Answer>(&read);
  if (answer == nullptr) return;
  Require(!gateway::IsEmpty(*answer));
  const gateway::Conversation conversation;
  const std::string rendered =
      gateway::AnthropicMessagesClient().RenderAnswer(*answer, {conversation, "1", 1});
  // What has no place in the neutral answer is lost once, and nothing more later.
  const auto again = dialect.ReadAnswer({200, gateway::Headers(), rendered, common::WallTime()});
  if (const auto* second = std::get_if<gateway::Answer>(&again)) {
    Require(gateway::AnthropicMessagesClient().RenderAnswer(*second, {conversation, "1", 1}) ==
            rendered);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  CheckWhole(input.text);
  const std::vector<std::string_view> whole = {input.text};
  const std::vector<std::string_view> pieces = candor_test::CutInTwo(input);
  Require(Relayed(whole) == Relayed(pieces));
  const gateway::OpenAiChatClient chat;
  const Result translated = Translated(chat, whole);
  Require(translated == Translated(chat, pieces));
  Require(translated.client_bytes.ends_with("data: [DONE]\n\n") == translated.is_complete);
  const gateway::AnthropicMessagesClient messages;
  const Result same = Translated(messages, whole);
  Require(same == Translated(messages, pieces));
  Require(same.client_bytes.ends_with("{\"type\":\"message_stop\"}\n\n") == same.is_complete);
  return 0;
}
