#include "gateway/dialects/anthropic_render.h"

#include <algorithm>
#include <utility>

#include "gateway/dialects/openai_chat.h"
#include "gateway/dialects/openai_chat_values.h"

namespace gateway {
namespace {

// Clients need an object: arguments that are none are handed over as they are inside one.
Json InputOf(const std::string& arguments) {
  if (arguments.empty()) return Json::object();
  Json input = ParseJson(arguments);
  return input.is_object() ? input : Json{{"arguments", arguments}};
}

Json RenderBlock(const Part& part) {
  switch (part.kind) {
    case Part::Kind::kReasoning:
      if (part.is_redacted) return {{"type", "redacted_thinking"}, {"data", part.signature}};
      return {{"type", "thinking"}, {"thinking", part.text}, {"signature", part.signature}};
    case Part::Kind::kToolCall: {
      Json block = RenderAnthropicToolUse(part.id, part.name, part.signature);
      block["input"] = InputOf(part.text);
      return block;
    }
    default:
      return {{"type", "text"}, {"text", part.text}};
  }
}

// Half of a call's arguments would be taken for all of them: such a call is no part of the message,
// whose stop reason says why.
bool IsHalfACall(const Choice& choice, const Part& part) {
  const bool may_be = part.kind == Part::Kind::kToolCall && IsCutOff(choice.finish) &&
                      &part == &choice.parts.back();
  return may_be && !ParseJson(part.text).is_object();
}

bool Holds(const Choice& choice, Part::Kind kind) {
  return std::any_of(choice.parts.begin(), choice.parts.end(),
                     [&](const Part& part) { return part.kind == kind; });
}

}  // namespace

Json RenderAnthropicToolUse(const std::string& id, const std::string& name,
                            const std::string& signature) {
  Json block = {{"type", "tool_use"}, {"id", id}, {"name", name}, {"input", Json::object()}};
  if (!signature.empty()) block["extra_content"] = RenderThoughtSignature(signature);
  return block;
}

std::string_view AnthropicStopReason(FinishReason finish, AnthropicOutput output) {
  switch (finish) {
    case FinishReason::kStop:
      if (output.has_refusal) return "refusal";
      return output.has_tool_call ? "tool_use" : "end_turn";
    case FinishReason::kStopSequence:
      return "stop_sequence";
    case FinishReason::kLength:
      return "max_tokens";
    case FinishReason::kToolCalls:
      return "tool_use";
    case FinishReason::kContentFilter:
    case FinishReason::kRefusal:
      return "refusal";
    case FinishReason::kPause:
      return "pause_turn";
  }
  return "end_turn";
}

bool IsCutOff(FinishReason finish) {
  return finish == FinishReason::kLength || finish == FinishReason::kContentFilter ||
         finish == FinishReason::kRefusal;
}

Json RenderAnthropicUsage(const Usage& usage) {
  const int64_t apart = usage.cached_input_tokens + usage.cache_creation_tokens;
  Json json = {{"input_tokens", std::max<int64_t>(usage.input_tokens - apart, 0)},
               {"cache_creation_input_tokens", usage.cache_creation_tokens},
               {"cache_read_input_tokens", usage.cached_input_tokens},
               {"output_tokens", usage.output_tokens}};
  if (usage.reasoning_tokens > 0) {
    json["output_tokens_details"] = {{"thinking_tokens", usage.reasoning_tokens}};
  }
  return json;
}

Json RenderAnthropicMessage(const std::string& id, const std::string& model,
                            const RenderContext& context) {
  return {{"id", AnswerId("msg_", id, context)},
          {"type", "message"},
          {"role", "assistant"},
          {"model", AnswerModel(model, context)},
          {"content", Json::array()},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

std::string AnthropicMessagesClient::RenderAnswer(const Answer& answer,
                                                  const RenderContext& context) const {
  Json json = RenderAnthropicMessage(answer.id, answer.model, context);
  // The dialect knows one choice, and asks for no more.
  if (!answer.choices.empty()) {
    const Choice& choice = answer.choices.front();
    for (const Part& part : choice.parts) {
      if (!IsHalfACall(choice, part)) json["content"].push_back(RenderBlock(part));
    }
    json["stop_reason"] = AnthropicStopReason(
        choice.finish, {Holds(choice, Part::Kind::kToolCall), Holds(choice, Part::Kind::kRefusal)});
    if (!choice.stop_sequence.empty()) json["stop_sequence"] = choice.stop_sequence;
  }
  json["usage"] = RenderAnthropicUsage(answer.usage);
  return RenderJson(json);
}

}  // namespace gateway
