#include "gateway/dialects/openai_chat_relay.h"

#include "gateway/core/ascii.h"
#include "gateway/dialects/json_glance.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// A chunk that cannot be an error, by its looks: one line of JSON.
bool IsPlainChunk(const SseEvent& event) {
  const std::string_view data = event.data;
  return event.name != "error" && data.starts_with('{') && data.ends_with('}') &&
         HasToken(data, "\"choices\"") && !HasToken(data, "\"error\"") &&
         !HasToken(data, "\"base_resp\"") && !HasToken(data, "\n");
}

bool HasNoChoices(std::string_view data) {
  std::string_view choices = ValueOf(data, "\"choices\"");
  if (!choices.starts_with('[')) return false;
  choices.remove_prefix(1);
  return Trim(choices.substr(0, choices.find(']'))).empty();
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
  const bool has_usage = ValueOf(event.data, "\"usage\"").starts_with('{');
  if (has_usage) tokens_used_ = ReadOpenAiUsage(event.data);
  const EventMeaning meaning = JudgeChunk(event, care);
  const bool is_ours = has_usage && usage_chunk_ == UsageChunk::kTakenOut &&
                       meaning == EventMeaning::kSilent && HasNoChoices(event.data);
  return is_ours ? EventMeaning::kOurs : meaning;
}

EventMeaning OpenAiChatJudge::JudgeChunk(const SseEvent& event, Care care) const {
  if (care == Care::kErrorsOnly && IsPlainChunk(event)) return EventMeaning::kSilent;
  if (event.name == "error") return EventMeaning::kNoEvent;
  return MeaningOf(JudgeOpenAiChunk(event.data));
}

}  // namespace gateway
