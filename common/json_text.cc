#include "common/json_text.h"

#include "common/utf8.h"

namespace common {
namespace {

void AppendEscape(unsigned char code, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += "\\u00";
  out += kHex[code >> 4];
  out += kHex[code & 15];
}

void AppendAscii(unsigned char c, std::string& out) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      if (c < 0x20 || c == 0x7F) return AppendEscape(c, out);
      out += static_cast<char>(c);
  }
}

// U+0080 to U+009F, in UTF-8 C2 80 to C2 9F.
bool IsWideControl(std::string_view sequence) {
  return sequence.size() == 2 && sequence[0] == '\xC2' &&
         static_cast<unsigned char>(sequence[1]) < 0xA0;
}

// How many bytes `text` begins with that stand for themselves.
size_t PlainRun(std::string_view text) {
  size_t length = 0;
  while (length < text.size()) {
    const auto c = static_cast<unsigned char>(text[length]);
    if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') break;
    ++length;
  }
  return length;
}

}  // namespace

void AppendJsonString(std::string_view text, std::string& out) {
  out += '"';
  while (!text.empty()) {
    if (const size_t plain = PlainRun(text); plain > 0) {
      out += text.substr(0, plain);
      text.remove_prefix(plain);
      continue;
    }
    const size_t length = Utf8SequenceLength(text);
    const std::string_view sequence = text.substr(0, length);
    if (length == 0) {
      out += kUtf8Replacement;
    } else if (length == 1) {
      AppendAscii(static_cast<unsigned char>(text.front()), out);
    } else if (IsWideControl(sequence)) {
      AppendEscape(static_cast<unsigned char>(sequence[1]), out);
    } else {
      out += sequence;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

std::string_view TruncateUtf8(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  size_t end = max_bytes;
  // A sequence has at most three continuation bytes; more of them are no UTF-8 anyway.
  while (end > 0 && max_bytes - end < 3 && IsUtf8Continuation(text[end])) --end;
  return text.substr(0, end);
}

}  // namespace common
