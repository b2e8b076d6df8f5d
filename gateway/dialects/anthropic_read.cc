#include <utility>

#include "gateway/core/failure_classifier.h"
#include "gateway/dialects/anthropic_messages.h"
#include "gateway/dialects/event_stream.h"
#include "gateway/dialects/openai_chat_values.h"

namespace gateway {
namespace {

// Anthropic writes one block after the other.
constexpr size_t kMostOpenBlocks = 64;

std::optional<int64_t> CountIn(const Json& usage, const char* name) {
  if (!MemberOf(usage, name).is_number()) return std::nullopt;
  return CountAt(usage, name);
}

AnthropicTokens TokensOf(const Json& usage) {
  return {CountIn(usage, "input_tokens"), CountIn(usage, "cache_read_input_tokens"),
          CountIn(usage, "cache_creation_input_tokens"), CountIn(usage, "output_tokens")};
}

// Anthropic counts what a cache gave or took apart from the input.
void ReadUsage(const AnthropicTokens& tokens, const Json& json, Usage& usage) {
  usage.is_known = true;
  usage.cached_input_tokens = tokens.cache_read.value_or(0);
  usage.cache_creation_tokens = tokens.cache_creation.value_or(0);
  usage.output_tokens = tokens.output.value_or(0);
  usage.input_tokens = tokens.Total() - usage.output_tokens;
  const Json& details = MemberOf(json, "output_tokens_details");
  if (details.is_object()) usage.reasoning_tokens = CountAt(details, "thinking_tokens");
}

std::string InputText(const Json& block) {
  const Json& input = MemberOf(block, "input");
  return input.is_object() ? RenderJson(input) : std::string("{}");
}

// False for blocks of other types: they belong to tools that run at Anthropic, or are new.
// Citations of a text are left out.
bool ReadBlock(const Json& block, std::vector<Part>& parts) {
  const std::string type = TextAt(block, "type");
  Part part;
  if (type == "text") {
    part.text = TextAt(block, "text");
    if (part.text.empty()) return true;
  } else if (type == "thinking") {
    part.kind = Part::Kind::kReasoning;
    part.text = TextAt(block, "thinking");
    part.signature = TextAt(block, "signature");
    if (part.text.empty() && part.signature.empty()) return true;
  } else if (type == "redacted_thinking") {
    part.kind = Part::Kind::kReasoning;
    part.signature = TextAt(block, "data");
    part.is_redacted = true;
  } else if (type == "tool_use") {
    part.kind = Part::Kind::kToolCall;
    part.id = TextAt(block, "id");
    part.name = TextAt(block, "name");
    part.text = InputText(block);
  } else {
    return false;
  }
  parts.push_back(std::move(part));
  return true;
}

EventVerdict Odd() {
  return {EventVerdict::Kind::kError,
          MalformedAnswer(kStreamStatus, "has an event of another shape")};
}

}  // namespace

FinishReason ReadAnthropicStopReason(std::string_view text) {
  if (text == "max_tokens" || text == "model_context_window_exceeded") return FinishReason::kLength;
  if (text == "tool_use") return FinishReason::kToolCalls;
  if (text == "stop_sequence") return FinishReason::kStopSequence;
  if (text == "refusal") return FinishReason::kRefusal;
  if (text == "pause_turn") return FinishReason::kPause;
  return FinishReason::kStop;
}

std::variant<Answer, Failure> ReadAnthropicMessage(const UpstreamReply& reply) {
  const Json json = ParseJson(reply.body);
  const Json& content = MemberOf(json, "content");
  if (!content.is_array()) return MalformedAnswer(reply.status, "is of another shape");
  Answer answer;
  answer.id = TextAt(json, "id");
  answer.model = TextAt(json, "model");
  Choice& choice = answer.choices.emplace_back();
  for (const Json& block : content) {
    if (!ReadBlock(block, choice.parts)) return ForeignOutput(reply.status);
  }
  choice.finish = ReadAnthropicStopReason(TextAt(json, "stop_reason"));
  choice.stop_sequence = TextAt(json, "stop_sequence");
  const Json& usage = MemberOf(json, "usage");
  if (usage.is_object()) ReadUsage(TokensOf(usage), usage, answer.usage);
  if (IsEmpty(answer)) return MalformedAnswer(reply.status, "has no output");
  return answer;
}

EventVerdict AnthropicDeltaParser::Take(const SseEvent& event, std::vector<Delta>& deltas) {
  const Json json = ParseJson(event.data);
  const std::string type = TextAt(json, "type");
  if (event.name == "error" || MemberOf(json, "error").is_object()) {
    return {EventVerdict::Kind::kError};
  }
  if (type == "message_start") return TakeStart(json, deltas);
  if (type == "content_block_start") return TakeBlockStart(json, deltas);
  if (type == "content_block_delta") return TakeBlockDelta(json, deltas);
  if (type == "message_delta") return TakeMessageDelta(json, deltas);
  if (type == "message_stop") return TakeStop(deltas);
  if (type == "content_block_stop") {
    TakeBlockStop(json, deltas);
    return {};
  }
  return {type == "ping" ? EventVerdict::Kind::kGoesOn : EventVerdict::Kind::kError};
}

EventVerdict AnthropicDeltaParser::TakeStart(const Json& event, std::vector<Delta>& deltas) {
  const Json& message = MemberOf(event, "message");
  if (!message.is_object()) return Odd();
  Delta start;
  start.kind = Delta::Kind::kStart;
  start.id = TextAt(message, "id");
  start.model = TextAt(message, "model");
  deltas.push_back(std::move(start));
  AddUsage(MemberOf(message, "usage"), deltas);
  return {};
}

EventVerdict AnthropicDeltaParser::TakeBlockStart(const Json& event, std::vector<Delta>& deltas) {
  const Json& content = MemberOf(event, "content_block");
  if (!content.is_object() || blocks_.size() >= kMostOpenBlocks) return Odd();
  Block& block = blocks_[CountAt(event, "index")];
  block = Block();
  block.type = TextAt(content, "type");
  if (block.type == "tool_use") {
    has_tool_call_ = true;
    Delta& delta = AddContent(Delta::Kind::kToolCall, block, deltas);
    delta.id = TextAt(content, "id");
    delta.name = TextAt(content, "name");
    const Json& input = MemberOf(content, "input");
    if (input.is_object() && !input.empty()) delta.text = RenderJson(input);
    block.has_arguments = !delta.text.empty();
  } else if (block.type == "redacted_thinking") {
    Delta& delta = AddContent(Delta::Kind::kSignature, block, deltas);
    delta.text = TextAt(content, "data");
    delta.is_redacted = true;
  } else if (block.type == "text" || block.type == "thinking") {
    std::string text = TextAt(content, block.type.c_str());
    const auto kind = block.type == "text" ? Delta::Kind::kText : Delta::Kind::kReasoning;
    if (!text.empty()) AddContent(kind, block, deltas).text = std::move(text);
  } else {
    return {EventVerdict::Kind::kError, ForeignOutput(kStreamStatus)};
  }
  return {};
}

EventVerdict AnthropicDeltaParser::TakeBlockDelta(const Json& event, std::vector<Delta>& deltas) {
  const Json& delta = MemberOf(event, "delta");
  const auto found = blocks_.find(CountAt(event, "index"));
  if (!delta.is_object() || found == blocks_.end()) return Odd();
  Block& block = found->second;
  const std::string type = TextAt(delta, "type");
  const auto take = [&](Delta::Kind kind, const char* member) {
    std::string text = TextAt(delta, member);
    if (!text.empty()) AddContent(kind, block, deltas).text = std::move(text);
  };
  if (type == "text_delta" && block.type == "text") {
    take(Delta::Kind::kText, "text");
  } else if (type == "thinking_delta" && block.type == "thinking") {
    take(Delta::Kind::kReasoning, "thinking");
  } else if (type == "signature_delta" && block.type == "thinking") {
    take(Delta::Kind::kSignature, "signature");
  } else if (type == "input_json_delta" && block.type == "tool_use") {
    take(Delta::Kind::kToolArguments, "partial_json");
    block.has_arguments |= !TextAt(delta, "partial_json").empty();
  } else if (type != "citations_delta") {
    return {EventVerdict::Kind::kError, ForeignOutput(kStreamStatus)};
  }
  return {};
}

void AnthropicDeltaParser::TakeBlockStop(const Json& event, std::vector<Delta>& deltas) {
  const auto found = blocks_.find(CountAt(event, "index"));
  if (found == blocks_.end()) return;
  Block& block = found->second;
  if (block.type == "tool_use" && !block.has_arguments) {
    AddContent(Delta::Kind::kToolArguments, block, deltas).text = "{}";
  }
  blocks_.erase(found);
}

// The end of a turn in which nothing was said or counted is not passed on: the stream then ends
// without any output.
EventVerdict AnthropicDeltaParser::TakeMessageDelta(const Json& event, std::vector<Delta>& deltas) {
  AddUsage(MemberOf(event, "usage"), deltas);
  const Json& delta = MemberOf(event, "delta");
  const std::string reason = TextAt(delta, "stop_reason");
  const bool is_empty = reason == "end_turn" && next_part_ == 0 && usage_.output_tokens == 0;
  if (reason.empty() || is_empty) return {};
  AddFinish(ReadAnthropicStopReason(reason), TextAt(delta, "stop_sequence"), deltas);
  return {};
}

EventVerdict AnthropicDeltaParser::TakeStop(std::vector<Delta>& deltas) {
  if (next_part_ > 0) {
    AddFinish(has_tool_call_ ? FinishReason::kToolCalls : FinishReason::kStop, {}, deltas);
  }
  return {EventVerdict::Kind::kComplete};
}

Delta& AnthropicDeltaParser::AddContent(Delta::Kind kind, Block& block,
                                        std::vector<Delta>& deltas) {
  if (block.part < 0) block.part = next_part_++;
  Delta& delta = deltas.emplace_back();
  delta.kind = kind;
  delta.part = block.part;
  return delta;
}

void AnthropicDeltaParser::AddUsage(const Json& usage, std::vector<Delta>& deltas) {
  if (!usage.is_object()) return;
  tokens_.Replace(TokensOf(usage));
  ReadUsage(tokens_, usage, usage_);
  Delta& delta = deltas.emplace_back();
  delta.kind = Delta::Kind::kUsage;
  delta.usage = usage_;
}

void AnthropicDeltaParser::AddFinish(FinishReason finish, std::string stop_sequence,
                                     std::vector<Delta>& deltas) {
  if (std::exchange(has_finish_, true)) return;
  Delta& delta = deltas.emplace_back();
  delta.kind = Delta::Kind::kFinish;
  delta.finish = finish;
  delta.stop_sequence = std::move(stop_sequence);
}

}  // namespace gateway
