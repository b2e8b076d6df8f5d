// Passes a provider's stream to a client of the same dialect byte for byte, event by event.
#pragma once

#include <cstdint>
#include <memory>

#include "gateway/dialects/event_stream.h"

namespace gateway {

enum class EventMeaning : uint8_t {
  kOutput,  // the model has answered with this: text, reasoning, a tool call, a finish reason
  kSilent,  // belongs to the dialect and carries none of it
  kEnd,     // the dialect's end marker
  kLast,    // output and the end marker in one
  kOurs,    // silent, and the answer to a question of ours: not for the client
  kNoEvent  // an error, no JSON, or JSON of another shape
};

// How closely an event must be looked at: after the commit point only an error or the end matters.
enum class Care : uint8_t { kFull, kErrorsOnly };

// Says what events of one dialect mean. Not thread-safe.
class EventJudge {
 public:
  virtual ~EventJudge() = default;
  virtual EventMeaning Judge(const SseEvent& event, Care care) = 0;
  // Input and output tokens as counted in what was judged; 0 when it was not said.
  virtual int64_t tokens_used() const = 0;
  // Of a Responses stream.
  virtual StreamPosition position() const { return {}; }
};

class RelayedStream : public EventStream {
 public:
  explicit RelayedStream(std::unique_ptr<EventJudge> judge) : judge_(std::move(judge)) {}

  int64_t TokensUsed() const override { return judge_->tokens_used(); }
  StreamPosition position() const override { return judge_->position(); }

 protected:
  bool TakeData(const SseEvent& event, StreamStep& step) override;
  bool TakeComment(const SseEvent& event, StreamStep& step) override;

 private:
  std::unique_ptr<EventJudge> judge_;
};

}  // namespace gateway
