#include "gateway/dialects/gemini_embeddings.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace gateway {
namespace {

using nlohmann::json;

GeminiEmbeddingsBody Build(const std::string& body) {
  auto built = BuildGeminiEmbeddings("models/e", body);
  if (const auto* failure = std::get_if<Failure>(&built)) ADD_FAILURE() << failure->message;
  return std::get<GeminiEmbeddingsBody>(std::move(built));
}

TEST(GeminiEmbeddingsTest, OneTextAndSeveralAreOneBatch) {
  const GeminiEmbeddingsBody one = Build(R"({"model":"m","input":"a","user":"u"})");
  EXPECT_EQ(
      json::parse(one.body),
      json::parse(R"({"requests":[{"model":"models/e","content":{"parts":[{"text":"a"}]}}]})"));
  EXPECT_EQ(one.form.count, 1u);
  EXPECT_FALSE(one.form.is_base64);
  EXPECT_EQ(one.dropped, std::vector<std::string>{"user"});
  const GeminiEmbeddingsBody two =
      Build(R"({"model":"m","input":["a","b"],"dimensions":8,"encoding_format":"base64"})");
  EXPECT_EQ(
      json::parse(two.body),
      json::parse(
          R"({"requests":[{"model":"models/e","content":{"parts":[{"text":"a"}]},"outputDimensionality":8},)"
          R"({"model":"models/e","content":{"parts":[{"text":"b"}]},"outputDimensionality":8}]})"));
  EXPECT_EQ(two.form.count, 2u);
  EXPECT_TRUE(two.form.is_base64);
}

TEST(GeminiEmbeddingsTest, WhatCannotBeEmbeddedIsRefusedByName) {
  const std::vector<std::vector<std::string>> cases = {
      {R"({"model":"m"})", "\"input\""},
      {R"({"model":"m","input":[]})", "\"input\""},
      {R"({"model":"m","input":[1,2]})", "\"input\""},
      {R"({"model":"m","input":[[1,2]]})", "\"input\""},
      {R"({"model":"m","input":{"a":1}})", "\"input\""},
      {R"({"model":"m","input":"a","encoding_format":"int8"})", "\"encoding_format\""},
      {R"({"model":"m","input":"a","dimensions":"8"})", "\"dimensions\""},
      {R"({"model":"m","input":"a","task":"x"})", "\"task\""}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c[0]);
    const auto built = BuildGeminiEmbeddings("models/e", c[0]);
    ASSERT_TRUE(std::holds_alternative<Failure>(built));
    EXPECT_EQ(std::get<Failure>(built).kind, FailureKind::kBadRequest);
    EXPECT_EQ(std::get<Failure>(built).param, c[1]);
  }
}

constexpr char kVectors[] = R"({"embeddings":[{"values":[0.25,0.5,0.75]},{"values":[1,-1,0]}],)"
                            R"("usageMetadata":{"promptTokenCount":6}})";

std::optional<Failure> Translate(const EmbeddingsForm& form, std::string& body, int status = 200) {
  const Headers headers;
  const std::string given = body;
  return FindDialect("gemini")->TranslateEmbeddings({status, headers, given, {}}, "m", form, body);
}

TEST(GeminiEmbeddingsTest, VectorsComeAsTheClientWantsThem) {
  std::string body = kVectors;
  ASSERT_FALSE(Translate({.count = 2}, body));
  EXPECT_EQ(json::parse(body), json::parse(R"({"object":"list","model":"m","data":[
    {"object":"embedding","index":0,"embedding":[0.25,0.5,0.75]},
    {"object":"embedding","index":1,"embedding":[1,-1,0]}],
    "usage":{"prompt_tokens":6,"total_tokens":6}})"));
  EXPECT_EQ(FindDialect("gemini")->TokensUsed(Endpoint::kEmbeddings, body), 6);
  body = kVectors;
  ASSERT_FALSE(Translate({.count = 2, .is_base64 = true}, body));
  EXPECT_EQ(json::parse(body)["data"][0]["embedding"], "AACAPgAAAD8AAEA/");
}

struct FailureCase {
  std::string name;
  std::string body;
  int status;
  FailureKind want;
};

TEST(GeminiEmbeddingsTest, WhatIsNoVectorForEachTextIsAFailure) {
  const std::vector<FailureCase> cases = {
      {"too few", R"({"embeddings":[{"values":[1]}]})", 200, FailureKind::kUpstreamMalformed},
      {"empty vector", R"({"embeddings":[{"values":[1]},{"values":[]}]})", 200,
       FailureKind::kUpstreamMalformed},
      {"no numbers", R"({"embeddings":[{"values":[1]},{"values":["1"]}]})", 200,
       FailureKind::kUpstreamMalformed},
      {"truncated", R"({"embeddings":[{"values":[1]},{"val)", 200, FailureKind::kUpstreamMalformed},
      {"empty", "", 200, FailureKind::kUpstreamMalformed},
      {"error inside success",
       R"({"error":{"code":429,"message":"Slow.","status":"RESOURCE_EXHAUSTED"}})", 200,
       FailureKind::kRateLimited},
      {"error", R"({"error":{"code":400,"message":"Bad.","status":"INVALID_ARGUMENT"}})", 400,
       FailureKind::kInvalidRequest}};
  for (const FailureCase& c : cases) {
    SCOPED_TRACE(c.name);
    std::string body = c.body;
    const auto failure = Translate({.count = 2}, body, c.status);
    ASSERT_TRUE(failure.has_value());
    EXPECT_EQ(RuleFor(failure->kind).name, RuleFor(c.want).name);
  }
}

}  // namespace
}  // namespace gateway
