// ASCII case and search for std::string_view; Abseil's own take only its string_view where it is
// packaged with one. Pure.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"

namespace gateway {

inline bool IsDigit(char c) { return c >= '0' && c <= '9'; }
inline bool IsAlphanumeric(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }
inline bool IsSpace(char c) { return absl::ascii_isspace(static_cast<unsigned char>(c)); }
inline char Lower(char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); }

inline std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = Lower(c);
  return lower;
}

inline bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

inline bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// `text` without white space at both ends.
inline std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsSpace(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsSpace(text.back())) text.remove_suffix(1);
  return text;
}

}  // namespace gateway
