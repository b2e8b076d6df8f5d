// What a client asks through the Responses API is either refused by name, or becomes a request of
// chat completions that means the same when it is read again; and what a response repeats of it is
// JSON.
#include <string>
#include <variant>

#include "gateway/core/client_request.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_responses.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

std::string Built(const gateway::Conversation& conversation) {
  const auto built =
      gateway::BuildOpenAiChat("m", conversation, gateway::MaxTokensName::kMaxCompletionTokens);
  const auto* chat = std::get_if<gateway::OpenAiChatBody>(&built);
  return chat == nullptr ? std::string() : chat->body;
}

void CheckAnswer(const gateway::Conversation& conversation) {
  gateway::Answer answer;
  answer.choices.emplace_back().parts.emplace_back().text = "a";
  const std::string body =
      gateway::OpenAiResponsesClient().RenderAnswer(answer, {conversation, "1", 1});
  const gateway::Json json = gateway::ParseJson(body);
  Require(json.is_object() && json["status"] == "completed" && json["tools"].is_array());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const std::string body(input.text);
  const auto scan = gateway::ScanRequest(gateway::Endpoint::kResponses, body);
  if (std::holds_alternative<gateway::Failure>(scan)) return 0;
  const auto parsed = gateway::OpenAiResponsesClient().ParseRequest(body);
  if (const auto* failure = std::get_if<gateway::Failure>(&parsed)) {
    Require(failure->kind == gateway::FailureKind::kBadRequest && !failure->message.empty());
    return 0;
  }
  const auto& conversation = std::get<gateway::Conversation>(parsed);
  CheckAnswer(conversation);
  const std::string built = Built(conversation);
  if (built.empty()) return 0;
  const auto again = gateway::OpenAiChatClient().ParseRequest(built);
  Require(std::holds_alternative<gateway::Conversation>(again));
  Require(Built(std::get<gateway::Conversation>(again)) == built);
  return 0;
}
