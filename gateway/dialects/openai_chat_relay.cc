#include "gateway/dialects/openai_chat_relay.h"

#include <cstring>

#include "gateway/core/ascii.h"
#include "gateway/dialects/openai_answer.h"

namespace gateway {
namespace {

// Streams are long and mostly uneventful: these look for a member's name without parsing. Inside a
// JSON string the quotes would be escaped, so a hit is a name or a whole value.
bool HasToken(std::string_view json, std::string_view quoted) {
  return memmem(json.data(), json.size(), quoted.data(), quoted.size()) != nullptr;
}

// What follows the first member called `quoted`, without white space and colon.
std::string_view ValueOf(std::string_view json, std::string_view quoted) {
  const void* hit = memmem(json.data(), json.size(), quoted.data(), quoted.size());
  if (hit == nullptr) return {};
  std::string_view value = json.substr(static_cast<const char*>(hit) - json.data() + quoted.size());
  while (!value.empty() && (value.front() == ':' || IsSpace(value.front()))) value.remove_prefix(1);
  return value;
}

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
