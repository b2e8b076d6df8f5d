// Text as a JSON string that is safe to show: what is no UTF-8 is replaced, control characters are
// escaped (also those beyond ASCII, which terminals obey). Thread-safe.
#pragma once

#include <string>
#include <string_view>

namespace common {

// Appends `text` in double quotes.
void AppendJsonString(std::string_view text, std::string& out);

// The longest prefix of at most `max_bytes` that does not end inside a UTF-8 sequence.
std::string_view TruncateUtf8(std::string_view text, size_t max_bytes);

}  // namespace common
