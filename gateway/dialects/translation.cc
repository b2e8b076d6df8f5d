#include "gateway/dialects/translation.h"

#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_completions.h"
#include "gateway/dialects/openai_responses.h"

namespace gateway {

const ClientDialect* FindClientDialect(Endpoint endpoint) {
  static const OpenAiChatClient chat;
  static const OpenAiCompletionsClient completions;
  static const OpenAiResponsesClient responses;
  static const AnthropicMessagesClient messages;
  switch (endpoint) {
    case Endpoint::kChatCompletions:
      return &chat;
    case Endpoint::kCompletions:
      return &completions;
    case Endpoint::kResponses:
      return &responses;
    case Endpoint::kMessages:
      return &messages;
    case Endpoint::kEmbeddings:
    case Endpoint::kCountTokens:
      return nullptr;
  }
  return nullptr;
}

}  // namespace gateway
