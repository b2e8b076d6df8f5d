// What a client asks through chat or text completions is either refused by name, or becomes a
// request that means the same when it is read again.
#include <string>
#include <variant>

#include "gateway/core/client_request.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_completions.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

// Empty when refused.
std::string Built(const gateway::ClientDialect& client, const std::string& body) {
  auto parsed = client.ParseRequest(body);
  if (const auto* failure = std::get_if<gateway::Failure>(&parsed)) {
    Require(failure->kind == gateway::FailureKind::kBadRequest && !failure->message.empty());
    return {};
  }
  const auto built = gateway::BuildOpenAiChat("m", std::get<gateway::Conversation>(parsed),
                                              gateway::MaxTokensName::kMaxCompletionTokens);
  const auto* chat = std::get_if<gateway::OpenAiChatBody>(&built);
  return chat == nullptr ? std::string() : chat->body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const bool is_chat = input.choice % 2 == 0;
  const auto endpoint =
      is_chat ? gateway::Endpoint::kChatCompletions : gateway::Endpoint::kCompletions;
  const std::string body(input.text);
  if (std::holds_alternative<gateway::Failure>(gateway::ScanRequest(endpoint, body))) return 0;
  const gateway::OpenAiChatClient chat;
  const gateway::OpenAiCompletionsClient completions;
  const std::string built = is_chat ? Built(chat, body) : Built(completions, body);
  if (built.empty()) return 0;
  Require(Built(chat, built) == built);
  return 0;
}
