// What whole messages and streams of Anthropic's dialect have in common when they are written.
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "gateway/dialects/anthropic_messages.h"

namespace gateway {

// What stands in the message that has stopped; a provider's finish reason may not say so.
struct AnthropicOutput {
  bool has_tool_call = false;
  bool has_refusal = false;
};
std::string_view AnthropicStopReason(FinishReason finish, AnthropicOutput output);

// Whether the model was stopped in the middle: then the arguments of its last call may be half.
bool IsCutOff(FinishReason finish);

// A message around nothing, without `usage`.
Json RenderAnthropicMessage(const std::string& id, const std::string& model,
                            const RenderContext& context);
// A tool_use block with an empty input.
Json RenderAnthropicToolUse(const std::string& id, const std::string& name,
                            const std::string& signature);
// All counts are given, as SDKs need numbers; 0 for what the provider did not say.
Json RenderAnthropicUsage(const Usage& usage);

}  // namespace gateway
