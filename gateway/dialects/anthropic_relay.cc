#include "gateway/dialects/anthropic_relay.h"

#include "gateway/dialects/json_glance.h"

namespace gateway {
namespace {

// A delta that cannot be an error, by its looks.
bool IsPlainDelta(const SseEvent& event) {
  const std::string_view data = event.data;
  return event.name == "content_block_delta" && data.starts_with('{') && data.ends_with('}') &&
         HasToken(data, "\"content_block_delta\"") && !HasToken(data, "\"error\"");
}

}  // namespace

EventMeaning AnthropicJudge::Judge(const SseEvent& event, Care care) {
  if (care == Care::kErrorsOnly && IsPlainDelta(event)) return EventMeaning::kSilent;
  const AnthropicEvent read = ReadAnthropicEvent(event.data);
  if (event.name == "error") return EventMeaning::kNoEvent;
  tokens_.Replace(read.tokens);
  switch (read.type) {
    case AnthropicEvent::Type::kSilent:
      return EventMeaning::kSilent;
    case AnthropicEvent::Type::kOutput:
      return EventMeaning::kOutput;
    case AnthropicEvent::Type::kStopReason:
      return read.is_end_turn && tokens_.output.value_or(0) == 0 ? EventMeaning::kSilent
                                                                 : EventMeaning::kOutput;
    case AnthropicEvent::Type::kEnd:
      return EventMeaning::kEnd;
    case AnthropicEvent::Type::kOther:
    case AnthropicEvent::Type::kError:
      return EventMeaning::kNoEvent;
  }
  return EventMeaning::kNoEvent;
}

}  // namespace gateway
