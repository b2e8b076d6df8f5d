// OpenAI's Responses API, as its clients speak it: what they ask becomes a neutral conversation,
// and a neutral answer becomes a response or its events. Source:
// platform.openai.com/docs/api-reference/responses. Pure.
//
// The gateway keeps nothing between two requests, so a response is never stored: what refers to
// something kept (previous_response_id, conversation, item_reference ...) is refused by name.
//
// A reasoning item's `encrypted_content` carries the provider's proof of its own reasoning, whether
// asked for or not, since nobody else remembers it; behind the word "redacted:" the reasoning
// itself is hidden in it. A function call carries Gemini's proof in `extra_content.google`, as in
// chat completions. Reasoning is told as a summary to clients that ask for one
// (`reasoning.summary`), else as `reasoning_text`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "gateway/dialects/translation.h"

namespace gateway {

class OpenAiResponsesClient final : public ClientDialect {
 public:
  std::variant<Conversation, Failure> ParseRequest(std::string_view body) const override;
  std::string RenderAnswer(const Answer& answer, const RenderContext& context) const override;
  std::unique_ptr<StreamRenderer> NewStreamRenderer(const RenderContext& context) const override;
};

// What begins an `encrypted_content` that holds the reasoning itself.
inline constexpr std::string_view kRedactedPrefix = "redacted:";

}  // namespace gateway
