#include "gateway/core/sse.h"

#include <cstring>

namespace gateway {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

// The first CR or LF at or after `from`. Two passes of memchr beat one loop over both: a line feed
// is near, and carriage returns are looked for only before it.
size_t FindLineEnd(std::string_view text, size_t from) {
  if (from >= text.size()) return std::string_view::npos;
  const char* begin = text.data() + from;
  const size_t size = text.size() - from;
  const void* feed = std::memchr(begin, '\n', size);
  const size_t line = feed == nullptr ? size : static_cast<const char*>(feed) - begin;
  const void* carriage = std::memchr(begin, '\r', line);
  if (carriage != nullptr) return from + (static_cast<const char*>(carriage) - begin);
  return feed == nullptr ? std::string_view::npos : from + line;
}

size_t LineEndSize(std::string_view text, size_t at) {
  return text[at] == '\r' && at + 1 < text.size() && text[at + 1] == '\n' ? 2 : 1;
}

std::string_view FieldValue(std::string_view line, size_t colon) {
  if (colon == std::string_view::npos) return {};
  std::string_view value = line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  return value;
}

void AddData(std::string_view value, SseEvent& event, std::string& joined) {
  if (!event.has_data) {
    event.has_data = true;
    event.data = value;
    return;
  }
  if (event.data.data() != joined.data()) joined.assign(event.data);
  joined.append("\n").append(value);
  event.data = joined;
}

void AddLine(std::string_view line, SseEvent& event, std::string& joined) {
  if (line.empty() || line.front() == ':') return;
  const size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  if (field == "data") {
    AddData(FieldValue(line, colon), event, joined);
  } else if (field == "event") {
    event.name = FieldValue(line, colon);
  } else if (field != "id" && field != "retry") {
    event.has_stray_line = true;
  }
}

}  // namespace

SseEvent ParseSseEvent(std::string_view raw, std::string& joined) {
  SseEvent event;
  event.raw = raw;
  joined.clear();
  std::string_view text = raw;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  while (!text.empty()) {
    const size_t end = FindLineEnd(text, 0);
    AddLine(text.substr(0, end), event, joined);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + LineEndSize(text, end));
  }
  return event;
}

void SseReader::Feed(std::string_view bytes) {
  is_input_rest_ = !rest_.empty();
  if (is_input_rest_) {
    rest_.append(bytes);
    input_ = rest_;
  } else {
    input_ = bytes;
  }
}

std::optional<SseEvent> SseReader::Next() {
  while (true) {
    const size_t end = FindLineEnd(input_, search_begin_);
    if (end == std::string_view::npos) {
      search_begin_ = input_.size();
      break;
    }
    if (input_[end] == '\r' && end + 1 == input_.size()) {
      search_begin_ = end;
      break;
    }
    const bool is_empty_line = end == line_begin_;
    line_begin_ = search_begin_ = end + LineEndSize(input_, end);
    if (!is_empty_line) continue;
    const std::string_view raw = input_.substr(event_begin_, line_begin_ - event_begin_);
    event_begin_ = line_begin_;
    return ParseSseEvent(raw, joined_);
  }
  KeepRest();
  return std::nullopt;
}

void SseReader::KeepRest() {
  if (is_input_rest_) {
    rest_.erase(0, event_begin_);
  } else {
    rest_.assign(input_.substr(event_begin_));
  }
  line_begin_ -= event_begin_;
  search_begin_ -= event_begin_;
  event_begin_ = 0;
  input_ = rest_;
  is_input_rest_ = true;
}

std::optional<SseEvent> SseReader::TakeRest() {
  if (rest_.empty()) return std::nullopt;
  rest_ += rest_.ends_with('\n') ? "\n" : "\n\n";
  return ParseSseEvent(rest_, joined_);
}

}  // namespace gateway
