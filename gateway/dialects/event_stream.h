// Reads a provider's event stream up to its end, whatever its dialect: what all of them share. A
// dialect's own part is to say what one event means.
//
// Until the commit point the client's bytes are held back, bounded in size and number of events.
// After it they pass event by event: half an event never reaches the client, so that an error can
// always follow.
//
// A failure is an error in any shape at any place: the dialect's own error event, an event named
// "error", a bare JSON body or a page between or in place of events, a stream that just stops.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/core/error_body.h"
#include "gateway/core/sse.h"
#include "gateway/dialects/dialect.h"

namespace gateway {

// Bounds of what one stream may hold back.
inline constexpr size_t kMaxHeldBytes = 256 * 1024;
inline constexpr int kMaxHeldEvents = 64;
// One event; an image inside a chunk is the largest known.
inline constexpr size_t kMaxEventBytes = 8 * 1024 * 1024;
// Of whatever has come, no more than this is kept.
inline constexpr size_t kMaxKeptBytes = kMaxHeldBytes + kMaxEventBytes;
// The status line of a stream has said success.
inline constexpr int kStreamStatus = 200;

class EventStream : public StreamReader {
 public:
  StreamStep Feed(std::string_view bytes) final;
  StreamStep Finish() final;

 protected:
  EventStream() : events_(kMaxEventBytes) {}

  // `event` has data. Returns false when the stream has ended, well or badly, as told in `step`.
  virtual bool TakeData(const SseEvent& event, StreamStep& step) = 0;
  // A comment of the provider's; it may keep the client's connection alive.
  virtual bool TakeComment(const SseEvent& event, StreamStep& step) = 0;
  // The body has ended well-formed but without an end marker. True when the stream is complete all
  // the same, or has failed, as told in `step`.
  virtual bool TakeEnd(StreamStep&) { return false; }

  void Commit() { is_committed_ = true; }
  bool is_committed() const { return is_committed_; }
  // The connection has ended: what is read now may be half an event.
  bool is_at_end() const { return is_at_end_; }
  // One more event that is held back before the commit point.
  void CountEvent() {
    if (!is_committed_) ++held_events_;
  }
  // Passes `bytes` on, behind what was held back, or holds them back, too. False when that is too
  // much.
  bool PassOrHold(std::string_view bytes, StreamStep& step);
  // The end marker was seen; `bytes` are the client's.
  bool Complete(std::string_view bytes, StreamStep& step);
  // `event` is an error, or no event of the dialect. False when the stream has ended; true when the
  // data is JSON of an unknown but harmless shape.
  bool TakeNoEvent(const SseEvent& event, StreamStep& step);

 private:
  bool Take(const SseEvent& event, StreamStep& step);
  bool KeepStray(const SseEvent& event, StreamStep& step);
  Failure EndWithoutMarker() const;
  std::optional<Failure> StrayFailure() const;

  SseReader events_;
  std::string held_;   // whole events before the commit point
  std::string stray_;  // what came that is no event stream
  int held_events_ = 0;
  bool is_at_end_ = false;
  bool is_committed_ = false;
};

// An error that came inside a stream. The stream's own headers were sent before the failure and say
// nothing about it.
Failure ClassifyStreamError(ErrorBody body);

}  // namespace gateway
