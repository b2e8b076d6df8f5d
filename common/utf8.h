// UTF-8 as strangers send it. Thread-safe.
#pragma once

#include <cstddef>
#include <string_view>

namespace common {

inline constexpr std::string_view kUtf8Replacement = "\xEF\xBF\xBD";  // U+FFFD

inline bool IsUtf8Continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Bytes of the well-formed UTF-8 sequence that `text` begins with, 0 when it begins with none
// (Unicode Standard, table 3-7). `text` is not empty.
size_t Utf8SequenceLength(std::string_view text);

}  // namespace common
