// OpenAI's legacy text completions as a client's dialect: the prompt becomes one user's message,
// the answer's text the completion. Source: platform.openai.com/docs/api-reference/completions.
// Pure.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "gateway/dialects/translation.h"

namespace gateway {

class OpenAiCompletionsClient final : public ClientDialect {
 public:
  std::variant<Conversation, Failure> ParseRequest(std::string_view body) const override;
  std::string RenderAnswer(const Answer& answer, const RenderContext& context) const override;
  std::unique_ptr<StreamRenderer> NewStreamRenderer(const RenderContext& context) const override;
};

}  // namespace gateway
