// Reads a stream of chat or text completion chunks and passes it to a client of the same dialect.
//
// Before the commit point events are held back. A chunk commits that carries output (text,
// reasoning, a tool call, a refusal) or a finish reason. After it, events pass byte for byte,
// whole: half an event never reaches the client, so that an error chunk can always follow. Events
// with a name and no data are dropped: clients fail to parse them.
//
// A failure is an error in any shape at any place: an error chunk, also with `choices` beside it,
// an event named "error", a bare JSON body between or in place of events, a finish reason "error".
//
// Only `[DONE]` completes a stream. One that ends after a finish reason without it is interrupted
// all the same: a relay that died looks just like that, and its usage or its error are missing. The
// client has the finish reason and can tell that the text is whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/core/sse.h"
#include "gateway/dialects/dialect.h"

namespace gateway {

// Bounds of what one stream may hold back.
inline constexpr size_t kMaxHeldBytes = 256 * 1024;
inline constexpr int kMaxHeldEvents = 64;
// One event; an image inside a chunk is the largest known.
inline constexpr size_t kMaxEventBytes = 8 * 1024 * 1024;

class OpenAiStreamReader final : public StreamReader {
 public:
  OpenAiStreamReader() : events_(kMaxEventBytes) {}

  StreamStep Feed(std::string_view bytes) override;
  StreamStep Finish() override;
  int64_t TokensUsed() const override { return tokens_used_; }

 private:
  // Each returns false when the stream has ended, well or badly.
  bool Take(const SseEvent& event, StreamStep& step);
  bool TakeData(const SseEvent& event, StreamStep& step);
  bool Inspect(const SseEvent& event, StreamStep& step);
  bool TakeEndMarker(const SseEvent& event, StreamStep& step);
  bool KeepStray(const SseEvent& event, StreamStep& step);
  bool PassOrHold(std::string_view raw, StreamStep& step);
  Failure EndWithoutMarker() const;
  std::optional<Failure> StrayFailure() const;

  SseReader events_;
  std::string held_;   // whole events before the commit point
  std::string stray_;  // what came that is no event stream
  int held_events_ = 0;
  bool is_at_end_ = false;  // the connection has ended: what is read now may be half an event
  bool is_committed_ = false;
  int64_t tokens_used_ = 0;
};

}  // namespace gateway
