#include "gateway/dialects/gemini_answer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "gateway/dialects/dialect.h"

namespace gateway {
namespace {

using nlohmann::json;

std::variant<Answer, Failure> Read(std::string_view body, int status = 200) {
  const Headers headers;
  return FindDialect("gemini")->ReadAnswer({status, headers, body, {}});
}

Answer ReadGood(std::string_view body) {
  auto read = Read(body);
  if (const auto* failure = std::get_if<Failure>(&read)) ADD_FAILURE() << failure->message;
  return std::get<Answer>(std::move(read));
}

constexpr char kFull[] = R"({"responseId":"r1","modelVersion":"gemini-x","candidates":[{"index":0,
  "content":{"role":"model","parts":[{"text":"Let me ","thought":true},{"text":"think.","thought":true},
  {"text":"He"},{"text":"llo"},
  {"functionCall":{"name":"f","args":{"b":1,"a":"\u00e9"}},"thoughtSignature":"c2ln"},
  {"functionCall":{"id":"given","name":"g"}},{"text":"","thoughtSignature":"eA=="}]},
  "finishReason":"STOP","safetyRatings":[],"avgLogprobs":-0.1}],
  "usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"thoughtsTokenCount":7,
  "cachedContentTokenCount":4,"toolUsePromptTokenCount":2,"totalTokenCount":24}})";

TEST(GeminiAnswerTest, EveryPartIsRead) {
  const Answer answer = ReadGood(kFull);
  EXPECT_EQ(answer.id, "r1");
  EXPECT_EQ(answer.model, "gemini-x");
  ASSERT_EQ(answer.choices.size(), 1u);
  const std::vector<Part>& parts = answer.choices[0].parts;
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[0].kind, Part::Kind::kReasoning);
  EXPECT_EQ(parts[0].text, "Let me think.");
  EXPECT_EQ(parts[1].kind, Part::Kind::kText);
  EXPECT_EQ(parts[1].text, "Hello");
  EXPECT_EQ(parts[2].kind, Part::Kind::kToolCall);
  EXPECT_EQ(parts[2].id, "call_r1_0_0");
  EXPECT_EQ(parts[2].text, "{\"b\":1,\"a\":\"\xc3\xa9\"}");
  EXPECT_EQ(parts[2].signature, "c2ln");
  EXPECT_EQ(parts[3].id, "given");
  EXPECT_EQ(parts[3].text, "{}");
  EXPECT_EQ(answer.choices[0].finish, FinishReason::kToolCalls);
}

TEST(GeminiAnswerTest, ThoughtsCountAsOutput) {
  const Usage usage = ReadGood(kFull).usage;
  EXPECT_TRUE(usage.is_known);
  EXPECT_EQ(usage.input_tokens, 12);
  EXPECT_EQ(usage.cached_input_tokens, 4);
  EXPECT_EQ(usage.output_tokens, 12);
  EXPECT_EQ(usage.reasoning_tokens, 7);
  EXPECT_EQ(usage.Total(), 24);
}

TEST(GeminiAnswerTest, LogprobsAreThoseOfOpenAi) {
  const Answer answer = ReadGood(R"({"candidates":[{"content":{"parts":[{"text":"é!"}]},
    "finishReason":"STOP","logprobsResult":{
    "chosenCandidates":[{"token":"é","tokenId":5,"logProbability":-0.5},{"token":"!"}],
    "topCandidates":[{"candidates":[{"token":"é","logProbability":-0.5},
    {"token":"e","logProbability":-2}]}]}}]})");
  EXPECT_EQ(json::parse(answer.choices[0].logprobs.dump()), json::parse(R"({"content":[
    {"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[
      {"token":"é","logprob":-0.5,"bytes":[195,169]},{"token":"e","logprob":-2,"bytes":[101]}]},
    {"token":"!","logprob":0.0,"bytes":[33],"top_logprobs":[]}]})"));
}

TEST(GeminiAnswerTest, CallsWithoutAnyIdAreToldApart) {
  const Answer answer = ReadGood(R"({"candidates":[{"finishReason":"STOP","content":{"parts":[
    {"functionCall":{"name":"f","args":{}}},{"functionCall":{"name":"f","args":{}}},
    {"functionCall":{"name":"f","args":{"a":1}}}]}}]})");
  std::set<std::string> ids;
  for (const Part& part : answer.choices[0].parts) ids.insert(part.id);
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_FALSE(ids.contains(""));
}

std::string Ended(const std::string& reason, const std::string& parts = "") {
  return R"({"candidates":[{"content":{"parts":[)" + parts + R"(]},"finishReason":")" + reason +
         R"("}]})";
}

constexpr char kSomeText[] = R"({"text":"a"})";
constexpr char kSomeCall[] = R"({"functionCall":{"name":"f","args":{}}})";

struct FinishCase {
  std::string reason;
  std::string parts;
  FinishReason want;
};

TEST(GeminiAnswerTest, FinishReasonsOfAnswers) {
  const std::vector<FinishCase> cases = {
      {"STOP", kSomeText, FinishReason::kStop},
      {"STOP", kSomeCall, FinishReason::kToolCalls},
      {"MAX_TOKENS", kSomeText, FinishReason::kLength},
      {"MAX_TOKENS", kSomeCall, FinishReason::kLength},
      {"MAX_TOKENS", "", FinishReason::kLength},
      {"SAFETY", kSomeText, FinishReason::kContentFilter},
      {"RECITATION", kSomeText, FinishReason::kContentFilter},
      {"LANGUAGE", kSomeText, FinishReason::kContentFilter},
      {"BLOCKLIST", kSomeText, FinishReason::kContentFilter},
      {"PROHIBITED_CONTENT", kSomeText, FinishReason::kContentFilter},
      {"SPII", kSomeText, FinishReason::kContentFilter}};
  for (const FinishCase& c : cases) {
    SCOPED_TRACE(c.reason + c.parts);
    EXPECT_EQ(ReadGood(Ended(c.reason, c.parts)).choices[0].finish, c.want);
  }
}

struct FailureCase {
  std::string name;
  std::string body;
  FailureKind want;
  std::string message;  // a part of it
};

const std::vector<FailureCase> kFailures = {
    {"blocked prompt", R"({"promptFeedback":{"blockReason":"SAFETY"}})",
     FailureKind::kContentFilter, "SAFETY"},
    {"blocked prompt with words",
     R"({"promptFeedback":{"blockReason":"OTHER","blockReasonMessage":"No."},"candidates":[]})",
     FailureKind::kContentFilter, "No."},
    {"filtered before any output", Ended("SAFETY"), FailureKind::kContentFilter, "SAFETY"},
    {"unsupported language", Ended("LANGUAGE"), FailureKind::kContentFilter, "LANGUAGE"},
    {"all candidates filtered",
     R"({"candidates":[{"index":0,"finishReason":"SPII"},{"index":1,"finishReason":"SAFETY"}]})",
     FailureKind::kContentFilter, "SAFETY"},
    {"malformed call", Ended("MALFORMED_FUNCTION_CALL"), FailureKind::kUpstreamMalformed,
     "MALFORMED_FUNCTION_CALL"},
    {"malformed call after text", Ended("MALFORMED_FUNCTION_CALL", kSomeText),
     FailureKind::kUpstreamMalformed, "MALFORMED_FUNCTION_CALL"},
    {"in its own words",
     R"({"candidates":[{"finishReason":"UNEXPECTED_TOOL_CALL",)"
     R"("finishMessage":"Unexpected call to g."}]})",
     FailureKind::kUpstreamMalformed, "Unexpected call to g."},
    {"other", Ended("OTHER"), FailureKind::kUpstreamError, "OTHER"},
    {"a reason of tomorrow", Ended("SUNSPOTS", kSomeText), FailureKind::kUpstreamError, "SUNSPOTS"},
    {"a lost signature", Ended("MISSING_THOUGHT_SIGNATURE"), FailureKind::kInvalidRequest,
     "MISSING_THOUGHT_SIGNATURE"},
    {"nothing at all", Ended("STOP"), FailureKind::kUpstreamMalformed, "no output"},
    {"only thoughts counted",
     R"({"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"thoughtsTokenCount":9}})",
     FailureKind::kUpstreamMalformed, "no output"},
    {"no candidates", R"({"candidates":[],"usageMetadata":{"promptTokenCount":3}})",
     FailureKind::kUpstreamMalformed, "no candidates"},
    {"no finish reason", R"({"candidates":[{"content":{"parts":[{"text":"a"}]}}]})",
     FailureKind::kUpstreamMalformed, "no finish reason"},
    {"an image", Ended("STOP", R"({"inlineData":{"mimeType":"image/png","data":"AAAA"}})"),
     FailureKind::kUpstreamMalformed, "more than text"},
    {"parts of another type", Ended("STOP", "3"), FailureKind::kUpstreamMalformed,
     "more than text"},
    {"an index beyond reason", R"({"candidates":[{"index":99999999,"finishReason":"STOP"}]})",
     FailureKind::kUpstreamMalformed, "candidate"},
    {"an error inside success",
     R"({"error":{"code":503,"message":"Too busy.","status":"UNAVAILABLE"}})",
     FailureKind::kOverloaded, "Too busy."},
    {"an error beside candidates",
     R"({"candidates":[],"error":{"code":429,"message":"Slow.","status":"RESOURCE_EXHAUSTED"}})",
     FailureKind::kRateLimited, "Slow."},
    {"an error inside an array",
     R"([{"error":{"code":429,"message":"Slow.","status":"RESOURCE_EXHAUSTED"}}])",
     FailureKind::kRateLimited, "Slow."},
    {"empty", "", FailureKind::kUpstreamMalformed, "is empty"},
    {"truncated", std::string(kFull).substr(0, 200), FailureKind::kUpstreamMalformed,
     "no complete JSON"},
    {"another API", R"({"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]})",
     FailureKind::kUpstreamMalformed, "another shape"},
    {"a page", "<html><head><title>Welcome</title></head></html>", FailureKind::kUpstreamMalformed,
     ""}};

TEST(GeminiAnswerTest, WhatIsNoAnswerIsAFailure) {
  for (const FailureCase& c : kFailures) {
    SCOPED_TRACE(c.name);
    const auto read = Read(c.body);
    ASSERT_TRUE(std::holds_alternative<Failure>(read));
    const auto& failure = std::get<Failure>(read);
    EXPECT_EQ(RuleFor(failure.kind).name, RuleFor(c.want).name);
    EXPECT_NE(failure.message.find(c.message), std::string::npos) << failure.message;
    EXPECT_EQ(failure.upstream_status, 200);
    EXPECT_GE(ClientStatus(failure), 400);
  }
}

TEST(GeminiAnswerTest, AModelThatChoseToSayNothingHasAnswered) {
  const Answer answer = ReadGood(
      R"({"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"candidatesTokenCount":1}})");
  EXPECT_EQ(answer.choices.size(), 1u);
}

TEST(GeminiAnswerTest, UnknownFinishReasonsAreCounted) {
  const auto read = Read(Ended("SUNSPOTS"));
  EXPECT_TRUE(std::get<Failure>(read).has_unknown_code);
  EXPECT_EQ(std::get<Failure>(read).provider_code, "SUNSPOTS");
}

TEST(GeminiAnswerTest, WhatNestsTooDeepIsNoAnswer) {
  const std::string deep =
      R"({"candidates":[{"finishReason":"STOP","content":{"parts":[{"functionCall":)"
      R"({"name":"f","args":{"a":)" +
      std::string(100000, '[') + std::string(100000, ']') + "}}}]}}]}";
  EXPECT_TRUE(std::holds_alternative<Failure>(Read(deep)));
}

}  // namespace
}  // namespace gateway
