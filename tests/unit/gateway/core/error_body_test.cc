#include "gateway/core/error_body.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gateway {
namespace {

struct ShapeCase {
  const char* name;
  std::string body;
  std::string message;
  std::vector<std::string> words;
  std::vector<int> statuses;
  bool has_error;
};

TEST(ErrorBodyTest, EveryShapeGivesTheSameKindOfValue) {
  const ShapeCase cases[] = {
      {"OpenAI",
       R"({"error":{"message":"m","type":"a_b","param":null,"code":"C-d"}})",
       "m",
       {"cd", "ab"},
       {},
       true},
      {"code as number", R"({"error":{"message":"m","code":429}})", "m", {"429"}, {429}, true},
      {"error as text",
       R"({"error":"m","error_type":"Over Loaded"})",
       "m",
       {"overloaded"},
       {},
       true},
      {"flat",
       R"({"object":"error","message":"m","type":"t","code":"1300"})",
       "m",
       {"1300", "t"},
       {},
       true},
      {"FastAPI", R"({"detail":"m"})", "m", {}, {}, true},
      {"FastAPI list", R"({"detail":[{"msg":"m","type":"missing"}]})", "m", {"missing"}, {}, true},
      {"problem",
       R"({"title":"Gone","status":410,"detail":"m"})",
       "m",
       {"410", "gone"},
       {410},
       true},
      {"envelope",
       R"({"success":false,"errors":[{"code":7003,"message":"m"}]})",
       "m",
       {"cloudflare7003", "7003"},
       {},
       true},
      {"Google in an array",
       R"([{"error":{"code":503,"status":"UNAVAILABLE","message":"m"}}])",
       "m",
       {"503", "unavailable"},
       {503},
       true},
      {"inside first",
       R"({"error":{"message":"m","code":"outer",
         "metadata":{"raw":"{\"error\":{\"message\":\"i\",\"code\":\"inner\"}}"}}})",
       "m",
       {"inner", "outer"},
       {},
       true},
      {"inside a message",
       R"({"error":{"message":"E: {\"error\":{\"code\":\"inner\"}} end"}})",
       "E: {\"error\":{\"code\":\"inner\"}} end",
       {"inner"},
       {},
       true},
      {"an answer", R"({"choices":[{"message":{"content":"c"}}],"error":null})", "", {}, {}, false},
      {"something else", R"({"hello":1})", "", {}, {}, false},
      {"text", "plain words", "plain words", {}, {}, false},
      {"page", "<!DOCTYPE html>\n<title> A\n b </title>", "A b", {}, {}, false},
      {"nothing", " \n", "", {}, {}, false},
      {"NUL",
       std::string("{\"error\":\"m\"}") + '\0',
       std::string("{\"error\":\"m\"}") + '\0',
       {},
       {},
       false},
  };
  for (const ShapeCase& c : cases) {
    SCOPED_TRACE(c.name);
    const ErrorBody body = ReadErrorBody(c.body);
    EXPECT_EQ(body.message, c.message);
    EXPECT_EQ(body.words, c.words);
    EXPECT_EQ(body.statuses, c.statuses);
    EXPECT_EQ(body.has_error, c.has_error);
  }
}

TEST(ErrorBodyTest, OnlyAnOpenAiErrorIsKeptAsOne) {
  EXPECT_EQ(ReadErrorBody(R"({"error":{"message":"m","z":[1],"a":2}})").openai_error,
            R"({"message":"m","z":[1],"a":2})");
  EXPECT_EQ(ReadErrorBody(R"({"error":"m"})").openai_error, "");
  EXPECT_EQ(ReadErrorBody(R"({"error":{"msg":"m"}})").openai_error, "");
}

TEST(ErrorBodyTest, WhatIsKeptIsBounded) {
  const std::string long_word(100'000, 'x');
  const ErrorBody cut = ReadErrorBody("{\"error\":{\"message\":\"a b " + long_word + "\"}}");
  EXPECT_EQ(cut.message, "a b ") << "no word is cut in two";
  EXPECT_LE(cut.text.size(), 64u * 1024);

  std::string many = "[";
  for (int i = 0; i < 1000; ++i) many += "{\"code\":\"c\",\"retry_after\":1},";
  const ErrorBody bounded = ReadErrorBody(many + "{}]");
  EXPECT_LE(bounded.words.size(), 64u);
  EXPECT_LE(bounded.wait_seconds.size(), 64u);

  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_EQ(ReadErrorBody(deep).words.size(), 0u);
}

}  // namespace
}  // namespace gateway
