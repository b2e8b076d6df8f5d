#include "gateway/dialects/openai_chat_relay.h"

#include "gateway/dialects/json_glance.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// A chunk that cannot be an error, by its looks.
bool IsPlainChunk(const SseEvent& event) {
  const std::string_view data = event.data;
  return event.name != "error" && data.starts_with('{') && data.ends_with('}') &&
         HasToken(data, "\"choices\"") && !HasToken(data, "\"error\"");
}

EventMeaning MeaningOf(ChunkVerdict verdict) {
  switch (verdict) {
    case ChunkVerdict::kOutput:
      return EventMeaning::kOutput;
    case ChunkVerdict::kSilent:
      return EventMeaning::kSilent;
    case ChunkVerdict::kOther:
      return EventMeaning::kNoEvent;
  }
  return EventMeaning::kNoEvent;
}

}  // namespace

bool IsDoneMarker(std::string_view data) { return data.starts_with("[DONE]"); }

EventMeaning OpenAiChatJudge::Judge(const SseEvent& event, Care care) {
  if (IsDoneMarker(event.data)) return EventMeaning::kEnd;
  if (ValueOf(event.data, "\"usage\"").starts_with('{')) {
    tokens_used_ = ReadOpenAiUsage(event.data);
  }
  if (care == Care::kErrorsOnly && IsPlainChunk(event)) return EventMeaning::kSilent;
  if (event.name == "error") return EventMeaning::kNoEvent;
  return MeaningOf(JudgeOpenAiChunk(event.data));
}

}  // namespace gateway
