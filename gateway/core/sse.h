// Splits the bytes of an event stream (text/event-stream, WHATWG HTML 9.2) into events, cut
// anywhere, without copying those that arrive whole. Bounded. Not thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

// Views are valid until the next call of the reader that gave the event.
struct SseEvent {
  std::string_view name;  // of "event:"; empty when it has none
  std::string_view data;  // several "data:" lines are joined by a newline
  std::string_view raw;   // the event's bytes as they came, the empty line included
  bool has_data = false;
  // It holds a line that is no field and no comment: something other than an event stream.
  bool has_stray_line = false;
};

// Takes one event's bytes apart. `joined` is room for several data lines.
SseEvent ParseSseEvent(std::string_view raw, std::string& joined);

class SseReader {
 public:
  // An unfinished event larger than `max_event_bytes` is over the limit.
  explicit SseReader(size_t max_event_bytes) : max_event_bytes_(max_event_bytes) {}

  // Gives the next bytes, which must live until Next has returned nothing.
  void Feed(std::string_view bytes);
  // The next complete event, or nothing when more bytes are needed. An event is complete with its
  // empty line; a carriage return at the very end waits for the byte after it.
  std::optional<SseEvent> Next();
  // What is left when the stream has ended, as an event whose missing empty line is added; nothing
  // when no byte is left.
  std::optional<SseEvent> TakeRest();

  bool IsOverLimit() const { return rest_.size() > max_event_bytes_; }

 private:
  void KeepRest();

  size_t max_event_bytes_;
  std::string rest_;        // an unfinished event, from earlier bytes
  std::string_view input_;  // what is being read: `rest_` or the caller's bytes
  bool is_input_rest_ = false;
  size_t event_begin_ = 0;  // offsets into `input_`
  size_t line_begin_ = 0;
  size_t search_begin_ = 0;
  std::string joined_;
};

}  // namespace gateway
