// What the events of a stream of chat or text completion chunks mean, for clients of the same
// dialect.
//
// A chunk commits that carries output (text, reasoning, a tool call, a refusal) or a finish reason.
// An error chunk is one also with `choices` beside it, and so is a finish reason "error".
//
// Only `[DONE]` completes a stream. One that ends after a finish reason without it is interrupted
// all the same: a relay that died looks just like that, and its usage or its error are missing. The
// client has the finish reason and can tell that the text is whole.
//
// The chunk with the usage, whose `choices` are empty, is left out where only we have asked for it.
#pragma once

#include <cstdint>
#include <string_view>

#include "gateway/dialects/relayed_stream.h"

namespace gateway {

class OpenAiChatJudge final : public EventJudge {
 public:
  explicit OpenAiChatJudge(UsageChunk usage_chunk) : usage_chunk_(usage_chunk) {}

  EventMeaning Judge(const SseEvent& event, Care care) override;
  int64_t tokens_used() const override { return tokens_used_; }

 private:
  EventMeaning JudgeChunk(const SseEvent& event, Care care) const;

  UsageChunk usage_chunk_;
  int64_t tokens_used_ = 0;
};

class OpenAiChatRelay final : public RelayedStream {
 public:
  explicit OpenAiChatRelay(UsageChunk usage_chunk)
      : RelayedStream(std::make_unique<OpenAiChatJudge>(usage_chunk)) {}
};

// Whether `data` of an event is the end marker of chat and text completions.
bool IsDoneMarker(std::string_view data);

}  // namespace gateway
