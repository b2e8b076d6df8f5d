#include "common/html_text.h"

#include <gtest/gtest.h>

namespace common {
namespace {

using namespace std::string_view_literals;

TEST(HtmlTextTest, TextIsEscapedAndShowsWhatItIs) {
  constexpr std::string_view kReplaced = "a\xEF\xBF\xBDz";
  struct Case {
    std::string_view name;
    std::string_view text;
    std::string_view want;
  };
  const Case cases[] = {
      {"empty", "", ""},
      {"plain", "gpt-4o", "gpt-4o"},
      {"element", "<script>", "&lt;script&gt;"},
      {"entity", "&lt;", "&amp;lt;"},
      {"attribute", "\" onload='x'", "&quot; onload=&#39;x&#39;"},
      {"two, three and four bytes", "é€😀", "é€😀"},
      {"NUL", "a\0z"sv, kReplaced},
      {"line feed", "a\nz", kReplaced},
      {"delete", "a\x7Fz", kReplaced},
      {"C1 control", "a\xC2\x9Bz", kReplaced},
      {"no UTF-8", "a\xFFz", kReplaced},
      {"overlong <", "a\xC0\xBCz", "a\xEF\xBF\xBD\xEF\xBF\xBDz"},
      {"cut short", "a\xE2\x82", "a\xEF\xBF\xBD\xEF\xBF\xBD"},
      {"right-to-left override", "a\u202Ez", kReplaced},
      {"isolate", "a\u2066z", kReplaced},
      {"zero width space", "a\u200Bz", kReplaced},
      {"line separator", "a\u2028z", kReplaced},
      {"byte order mark", "a\uFEFFz", kReplaced},
      {"tag character", "a\U000E0041z", kReplaced},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    std::string out;
    AppendHtmlText(c.text, out);
    EXPECT_EQ(out, c.want);
  }
}

TEST(HtmlTextTest, MarkupStaysMarkup) {
  HtmlText cell;
  cell.Markup("<td>").Text("<b>").Number(-7).Markup("</td>");
  HtmlText row;
  row.Markup("<tr>").Append(cell).Markup("</tr>");
  EXPECT_EQ(row.html(), "<tr><td>&lt;b&gt;-7</td></tr>");
  EXPECT_EQ(row.size(), row.html().size());
}

}  // namespace
}  // namespace common
