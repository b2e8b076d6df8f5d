// HTML in pieces: markup, which only a program's author can write, and text of strangers, which is
// always escaped. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace common {

// Appends `text` so that it is safe in content and in quoted attributes, and shows what it is: what
// is no UTF-8, control characters and those that turn or hide what follows them become U+FFFD.
void AppendHtmlText(std::string_view text, std::string& out);

class HtmlText {
 public:
  // A string literal, and nothing else.
  template <size_t N>
  HtmlText& Markup(const char (&literal)[N]) {
    html_.append(literal, N - 1);
    return *this;
  }
  HtmlText& Text(std::string_view text) {
    AppendHtmlText(text, html_);
    return *this;
  }
  HtmlText& Number(int64_t number) {
    html_ += std::to_string(number);
    return *this;
  }
  HtmlText& Append(const HtmlText& other) {
    html_ += other.html_;
    return *this;
  }

  size_t size() const { return html_.size(); }
  const std::string& html() const { return html_; }

 private:
  std::string html_;
};

}  // namespace common
