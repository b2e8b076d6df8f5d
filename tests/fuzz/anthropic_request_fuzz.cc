// What a client asks through the Messages API is either refused by name, or becomes a request that
// means the same when it is read again.
#include <string>
#include <variant>

#include "gateway/core/client_request.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/openai_chat.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

// Empty when refused.
std::string Built(const std::string& body, std::string_view model) {
  auto parsed = gateway::AnthropicMessagesClient().ParseRequest(body);
  if (const auto* failure = std::get_if<gateway::Failure>(&parsed)) {
    Require(failure->kind == gateway::FailureKind::kBadRequest && !failure->message.empty());
    return {};
  }
  const auto& conversation = std::get<gateway::Conversation>(parsed);
  if (const auto failure = gateway::FindContradiction(conversation)) {
    Require(failure->kind == gateway::FailureKind::kBadRequest && !failure->param.empty());
    return {};
  }
  gateway::BuildOpenAiChat("m", conversation, gateway::MaxTokensName::kMaxTokens);
  const auto built = gateway::BuildAnthropicMessages(model, conversation);
  const auto* messages = std::get_if<gateway::AnthropicBody>(&built);
  return messages == nullptr ? std::string() : messages->body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const std::string body(input.text);
  const auto scanned = gateway::ScanRequest(gateway::Endpoint::kMessages, body);
  if (std::holds_alternative<gateway::Failure>(scanned)) return 0;
  const std::string_view model = input.choice % 2 == 0 ? "claude-opus-5" : "claude-sonnet-4-5";
  const std::string built = Built(body, model);
  if (built.empty()) return 0;
  Require(Built(built, model) == built);
  return 0;
}
