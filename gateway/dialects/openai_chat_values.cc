#include "gateway/dialects/openai_chat_values.h"

#include <algorithm>
#include <utility>

#include "common/concat.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/openai_chat.h"

namespace gateway {
namespace {

// No provider counts more; larger figures are nonsense.
constexpr double kMostTokens = 1e12;

}  // namespace

void AddText(Part::Kind kind, std::string text, std::vector<Part>& parts) {
  if (text.empty()) return;
  Part part;
  part.kind = kind;
  part.text = std::move(text);
  parts.push_back(std::move(part));
}

// Reasoning is an item that holds a text or an array of texts again.
std::vector<Part> ContentOf(const Json& message) {
  std::vector<Part> parts;
  AddText(Part::Kind::kText, TextAt(message, "content"), parts);
  const Json& content = MemberOf(message, "content");
  if (!content.is_array()) return parts;
  for (const Json& item : content) {
    AddText(Part::Kind::kText, TextAt(item, "text"), parts);
    AddText(Part::Kind::kReasoning, TextAt(item, "thinking"), parts);
    const Json& thinking = MemberOf(item, "thinking");
    if (!thinking.is_array()) continue;
    for (const Json& piece : thinking) {
      AddText(Part::Kind::kReasoning, TextAt(piece, "text"), parts);
    }
  }
  return parts;
}

bool HasForeignOutput(const Json& message) {
  for (const char* name : {"function_call", "images", "audio"}) {
    const Json& value = MemberOf(message, name);
    if (value.is_structured() && !value.empty()) return true;
  }
  const Json& content = MemberOf(message, "content");
  return content.is_array() && std::any_of(content.begin(), content.end(), [](const Json& item) {
           const std::string type = TextAt(item, "type");
           return type != "text" && type != "thinking" && type != "reference";
         });
}

Failure ForeignOutput(int status) {
  Failure failure = MalformedAnswer(status, "holds output that cannot be translated");
  failure.is_permanent = true;
  return failure;
}

const Json& MemberOf(const Json& json, const char* name) {
  static const Json null;
  if (!json.is_object()) return null;
  const auto found = json.find(name);
  return found == json.end() ? null : *found;
}

std::string TextAt(const Json& json, const char* name) {
  const Json& value = MemberOf(json, name);
  return value.is_string() ? value.get<std::string>() : std::string();
}

int64_t CountAt(const Json& json, const char* name) {
  const Json& value = MemberOf(json, name);
  if (!value.is_number()) return 0;
  const auto number = value.get<double>();
  return number >= 0 && number <= kMostTokens ? static_cast<int64_t>(number) : 0;
}

std::string ReasoningOf(const Json& message) {
  std::string text = TextAt(message, "reasoning_content");
  return text.empty() ? TextAt(message, "reasoning") : text;
}

std::string ArgumentsOf(const Json& function) {
  const Json& arguments = MemberOf(function, "arguments");
  if (arguments.is_string()) return arguments.get<std::string>();
  return arguments.is_object() ? RenderJson(arguments) : std::string();
}

std::string MadeUpCallId(const std::string& answer_id, size_t index) {
  return common::Concat("call_", answer_id.empty() ? std::string("0") : answer_id, "_", index);
}

Json RenderThoughtSignature(const std::string& signature) {
  return {{"google", {{"thought_signature", signature}}}};
}

FinishReason ReadOpenAiFinishReason(std::string_view text, bool has_tool_calls) {
  if (text == "length") return FinishReason::kLength;
  if (text == "content_filter") return FinishReason::kContentFilter;
  if (text == "tool_calls" || text == "function_call") return FinishReason::kToolCalls;
  return has_tool_calls ? FinishReason::kToolCalls : FinishReason::kStop;
}

std::string_view OpenAiFinishReason(FinishReason finish) {
  switch (finish) {
    case FinishReason::kLength:
      return "length";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kContentFilter:
    case FinishReason::kRefusal:
      return "content_filter";
    case FinishReason::kStop:
    case FinishReason::kStopSequence:
    case FinishReason::kPause:
      return "stop";
  }
  return "stop";
}

Usage ReadOpenAiUsageObject(const Json& usage) {
  Usage read;
  if (!usage.is_object()) return read;
  read.is_known = true;
  read.input_tokens = CountAt(usage, "prompt_tokens");
  read.output_tokens = CountAt(usage, "completion_tokens");
  read.cached_input_tokens = CountAt(MemberOf(usage, "prompt_tokens_details"), "cached_tokens");
  read.reasoning_tokens = CountAt(MemberOf(usage, "completion_tokens_details"), "reasoning_tokens");
  return read;
}

Json RenderOpenAiUsage(const Usage& usage) {
  return {{"prompt_tokens", usage.input_tokens},
          {"completion_tokens", usage.output_tokens},
          {"total_tokens", usage.Total()},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_input_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

std::string AnswerId(std::string_view prefix, const std::string& provider_id,
                     const RenderContext& context) {
  return provider_id.empty() ? common::Concat(prefix, context.id) : provider_id;
}

const std::string& AnswerModel(const std::string& provider_model, const RenderContext& context) {
  return provider_model.empty() ? context.conversation.model : provider_model;
}

int64_t CreatedAt(int64_t provider_time, const RenderContext& context) {
  return provider_time > 0 ? provider_time : context.now_seconds;
}

}  // namespace gateway
