#include "common/html_text.h"

#include "common/utf8.h"

namespace common {
namespace {

// The entity for an ASCII character that means something in HTML; empty for others.
std::string_view EntityFor(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return "";
  }
}

char32_t CodePoint(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  constexpr unsigned char kLeadMask[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t code = lead & kLeadMask[sequence.size()];
  for (const char c : sequence.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return code;
}

// Controls, line separators, and what makes a name look like another: marks without width, and
// those that turn the direction (Unicode Technical Report 36, 2.10.3).
bool IsDeceptive(char32_t code) {
  const auto is_in = [code](char32_t first, char32_t last) {
    return code >= first && code <= last;
  };
  return code < 0x20 || is_in(0x7F, 0x9F) || code == 0xAD || code == 0x61C || code == 0x180E ||
         is_in(0x200B, 0x200F) || is_in(0x2028, 0x202E) || is_in(0x2060, 0x206F) ||
         code == 0xFEFF || is_in(0xE0000, 0xE007F);
}

}  // namespace

void AppendHtmlText(std::string_view text, std::string& out) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const std::string_view sequence = text.substr(0, length);
    if (length == 0 || IsDeceptive(CodePoint(sequence))) {
      out += kUtf8Replacement;
    } else if (const std::string_view entity = EntityFor(text.front()); !entity.empty()) {
      out += entity;
    } else {
      out += sequence;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
}

}  // namespace common
