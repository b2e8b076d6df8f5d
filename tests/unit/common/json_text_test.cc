#include "common/json_text.h"

#include <gtest/gtest.h>

namespace common {
namespace {

using namespace std::string_view_literals;

TEST(JsonTextTest, TextIsEscapedAndMadeValid) {
  struct Case {
    std::string_view name;
    std::string_view text;
    std::string_view want;
  };
  const Case cases[] = {
      {"empty", "", R"("")"},
      {"plain", "hello", R"("hello")"},
      {"quotes and backslash", R"(a"b\c)", R"("a\"b\\c")"},
      {"white space", "a\tb\nc\rd", R"("a\tb\nc\rd")"},
      {"NUL", "a\0b"sv, R"("a\u0000b")"},
      {"escape", "\x1b[31m", R"("\u001b[31m")"},
      {"delete", "\x7f", R"("\u007f")"},
      {"C1 control", "\xC2\x9B", R"("\u009b")"},
      {"first after C1", "\xC2\xA0", "\"\xC2\xA0\""},
      {"two, three and four bytes", "é€😀", "\"é€😀\""},
      {"lone continuation", "a\x80z", "\"a\xEF\xBF\xBDz\""},
      {"overlong", "\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"overlong of three", "\xE0\x80\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"surrogate", "\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"beyond Unicode", "\xF5", "\"\xEF\xBF\xBD\""},
      {"cut short", "a\xE2\x82", "\"a\xEF\xBF\xBD\xEF\xBF\xBD\""},
      {"cut by ASCII", "\xE2\x82z", "\"\xEF\xBF\xBD\xEF\xBF\xBDz\""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string out;
    AppendJsonString(c.text, out);
    EXPECT_EQ(out, c.want);
  }
}

TEST(JsonTextTest, TruncationKeepsCharactersWhole) {
  struct Case {
    std::string_view text;
    size_t max_bytes;
    std::string_view want;
  };
  const Case cases[] = {{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"abc", 0, ""},
                        {"a€", 4, "a€"},   {"a€", 3, "a"},   {"a€", 2, "a"},
                        {"a€b", 4, "a€"},  {"😀😀", 7, "😀"},   {"\x80\x80\x80\x80\x80", 4, "\x80"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(TruncateUtf8(c.text, c.max_bytes), c.want);
  }
}

}  // namespace
}  // namespace common
