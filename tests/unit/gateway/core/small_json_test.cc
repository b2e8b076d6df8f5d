#include "gateway/core/small_json.h"

#include <gtest/gtest.h>

#include <string>

#include "gateway/core/json_scan.h"

namespace gateway {
namespace {

std::string Nested(int depth) {
  return std::string(static_cast<size_t>(depth), '[') +
         std::string(static_cast<size_t>(depth), ']');
}

TEST(ParseJsonTest, WhatIsRenderedIsWhatWasRead) {
  for (const char* text : {
           R"({"b":1,"a":[true,false,null,{}],"c":{"d":"x"}})",
           R"([0,-7,9223372036854775807,18446744073709551615,0.5,-1.25])",
           R"("\u0000 \" \\ \n ü 日本")",
           R"("a long run of plain text, then \"quotes\" and\ttabs")",
           "[]",
           "{}",
           "null",
           "true",
       }) {
    const Json json = ParseJson(text);
    ASSERT_FALSE(json.is_discarded()) << text;
    EXPECT_EQ(json, Json::parse(text)) << text;
    EXPECT_EQ(Json::parse(RenderJson(json)), json) << RenderJson(json);
  }
  EXPECT_EQ(RenderJson(ParseJson(R"( { "b" : 1 , "a" : [ 2.5 , "x" ] } )")),
            R"({"b":1,"a":[2.5,"x"]})");
}

TEST(ParseJsonTest, NumbersThatNothingElseHoldsAreKeptAsTheyWereWritten) {
  for (const char* number : {"18446744073709551616", "-9223372036854775809", "1e400", "-1E+400",
                             "123456789012345678901234567890", "0.1234567890123456789012345"}) {
    const std::string text =
        std::string("{\"n\":[") + number + " ,-" + (number + (*number == '-')) + "]}";
    const Json json = ParseJson(text);
    ASSERT_FALSE(json.is_discarded()) << text;
    EXPECT_EQ(RenderJson(json["n"][0]), number);
    EXPECT_FALSE(json["n"][0].is_number());
  }
  EXPECT_EQ(RenderJson(ParseJson("18446744073709551616")), "18446744073709551616");
  for (const char* broken : {"1e400e", "01e400", "1.e400", "-e400", "1e+", "+1e400", "1e400.5"}) {
    EXPECT_TRUE(ParseJson(std::string("[") + broken + "]").is_discarded()) << broken;
  }
}

TEST(ParseJsonTest, NothingIsMadeOfMoreValuesThanMemoryIsFor) {
  std::string text = "[0";
  for (size_t i = 1; i < kMaxJsonValues; ++i) text += ",0";
  EXPECT_TRUE(ParseJson(text + "]").is_discarded());
}

TEST(ParseJsonTest, WholeNumbersStayWhole) {
  EXPECT_TRUE(ParseJson("[1 ]")[0].is_number_integer());
  EXPECT_TRUE(ParseJson("[1.0]")[0].is_number_float());
  EXPECT_TRUE(ParseJson("[1e2]")[0].is_number_float());
  EXPECT_TRUE(ParseJson("[0.10000000000000001]")[0].is_number_float());
}

TEST(ParseJsonTest, AnythingElseIsDiscarded) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[1,]"),
                                  std::string("nul"), std::string("\"\xFF\""), std::string("1 2"),
                                  std::string("[1]\0", 4), Nested(kMaxJsonDepth + 1)}) {
    EXPECT_TRUE(ParseJson(text).is_discarded()) << text;
  }
  EXPECT_FALSE(ParseJson(Nested(kMaxJsonDepth)).is_discarded());
}

TEST(ParseJsonTest, OfTwoMembersOfOneNameTheFirstIsFound) {
  EXPECT_EQ(ParseJson(R"({"a":1,"a":2})")["a"], 1);
}

// With a search for every member this would take minutes.
TEST(ParseJsonTest, AnObjectOfVeryManyMembersIsReadInOneGo) {
  std::string text = "{";
  for (int i = 0; i < 300'000; ++i) text += "\"" + std::to_string(i) + "\":0,";
  text += "\"last\":1}";
  const Json json = ParseJson(text);
  EXPECT_EQ(json.size(), 300'001u);
  EXPECT_EQ(json.back(), 1);
}

TEST(ParseSmallJsonTest, LeavesOutWhatIsDeep) {
  const auto json = ParseSmallJson(Nested(kMaxErrorDepth + 5));
  ASSERT_TRUE(json.has_value());
  EXPECT_EQ(RenderJson(*json),
            std::string(kMaxErrorDepth, '[') + "null" + std::string(kMaxErrorDepth, ']'));
}

TEST(RenderJsonTest, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(RenderJson(Json("a\xFF"
                            "b")),
            "\"a\xEF\xBF\xBD"
            "b\"");
}

}  // namespace
}  // namespace gateway
