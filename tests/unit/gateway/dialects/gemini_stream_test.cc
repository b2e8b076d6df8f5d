#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/dialects/gemini_answer.h"
#include "tests/support/split_feed.h"
#include "tests/unit/gateway/dialects/gemini_support.h"

namespace gateway {
namespace {

using candor_test::ReadGeminiStream;
using candor_test::StreamResult;
using nlohmann::json;

constexpr char kDone[] = "data: [DONE]";

std::string Event(const std::string& data) { return "data: " + data + "\r\n\r\n"; }

// One chunk as Google sends it.
std::string Chunk(const std::string& parts, const std::string& rest = "") {
  return Event(R"({"candidates": [{"content": {"parts": [)" + parts + R"(],"role": "model"},)" +
               rest + R"("index": 0}],"usageMetadata": {"promptTokenCount": 3,)" +
               R"("candidatesTokenCount": 2,"totalTokenCount": 5},"modelVersion": "gemini-x",)" +
               R"("responseId": "r1"})");
}

const std::string kThought = Chunk(R"({"text": "Hm.","thought": true})");
const std::string kText = Chunk(R"({"text": "Hel"},{"text": "lo"})");
const std::string kMore = Chunk(R"({"text": " there"})");
const std::string kCalls =
    Chunk(R"({"functionCall": {"name": "f","args": {"a": 1}},"thoughtSignature": "c2ln"},)"
          R"({"functionCall": {"id": "given","name": "g","args": {}}})");
const std::string kStop = Chunk(R"({"text": ""})", R"("finishReason": "STOP",)");
const std::string kStopText = Chunk(R"({"text": "!"})", R"("finishReason": "STOP",)");
const std::string kError =
    R"({"error": {"code": 503,"message": "Too busy.","status": "UNAVAILABLE"}})";

// The answer that the chunks of a complete stream make.
Answer Collect(const std::string& stream) {
  GeminiDeltaParser parser;
  std::vector<Delta> deltas;
  SseReader events(1 << 20);
  events.Feed(stream);
  while (const auto event = events.Next()) {
    EXPECT_EQ(parser.Take(*event, deltas).kind, EventVerdict::Kind::kGoesOn);
  }
  EXPECT_EQ(parser.TakeEnd(deltas).kind, EventVerdict::Kind::kComplete);
  AnswerBuilder builder;
  for (const Delta& delta : deltas) builder.Add(delta);
  return builder.answer();
}

TEST(GeminiStreamTest, AStreamIsTheSameAsTheWholeAnswer) {
  const Answer answer = Collect(kThought + kText + kMore + kCalls + kStop);
  EXPECT_EQ(answer.id, "r1");
  EXPECT_EQ(answer.model, "gemini-x");
  ASSERT_EQ(answer.choices.size(), 1u);
  const std::vector<Part>& parts = answer.choices[0].parts;
  ASSERT_EQ(parts.size(), 4u);
  EXPECT_EQ(parts[0].kind, Part::Kind::kReasoning);
  EXPECT_EQ(parts[1].text, "Hello there");
  EXPECT_EQ(parts[2].id, "call_r1_0_0");
  EXPECT_EQ(parts[2].signature, "c2ln");
  EXPECT_EQ(parts[3].id, "given");
  EXPECT_EQ(answer.choices[0].finish, FinishReason::kToolCalls);
  EXPECT_EQ(answer.usage.Total(), 5);
}

TEST(GeminiStreamTest, PartsThatAlternateStayApart) {
  const Answer answer = Collect(kThought + kText + kThought + kStopText);
  ASSERT_EQ(answer.choices[0].parts.size(), 4u);
  EXPECT_EQ(answer.choices[0].parts[3].text, "!");
}

TEST(GeminiStreamTest, AFinishReasonInEveryChunkEndsNothing) {
  const Answer answer = Collect(kStopText + kStopText + kStopText);
  ASSERT_EQ(answer.choices[0].parts.size(), 1u);
  EXPECT_EQ(answer.choices[0].parts[0].text, "!!!");
}

TEST(GeminiStreamTest, SeveralCandidatesMayMix) {
  const Answer answer = Collect(
      Event(R"({"candidates":[{"content":{"parts":[{"text":"a"}]}},)"
            R"({"content":{"parts":[{"text":"b"}]},"index":1,"finishReason":"STOP"}]})") +
      Event(
          R"({"candidates":[{"content":{"parts":[{"text":"c"}]},"finishReason":"MAX_TOKENS"}]})"));
  ASSERT_EQ(answer.choices.size(), 2u);
  EXPECT_EQ(answer.choices[0].parts[0].text, "ac");
  EXPECT_EQ(answer.choices[0].finish, FinishReason::kLength);
  EXPECT_EQ(answer.choices[1].parts[0].text, "b");
}

TEST(GeminiStreamTest, AClientSeesACompleteStreamHoweverItIsCut) {
  const std::string stream = kThought + kText + kCalls + kStop;
  const StreamResult whole = ReadGeminiStream({stream});
  EXPECT_TRUE(whole.is_complete);
  EXPECT_TRUE(whole.client_bytes.ends_with("data: [DONE]\n\n"));
  EXPECT_EQ(whole.tokens, 5);
  candor_test::ForEverySplit(stream, [&](const std::vector<std::string_view>& pieces) {
    const StreamResult result = ReadGeminiStream(pieces);
    EXPECT_EQ(result.client_bytes, whole.client_bytes);
    EXPECT_TRUE(result.is_complete);
    EXPECT_EQ(result.tokens, whole.tokens);
  });
}

// A stream that is cut anywhere before its end is no complete one.
TEST(GeminiStreamTest, ACutStreamIsAFailure) {
  const std::string stream = kText + kMore + kStop;
  // The last event is whole without its empty line.
  const size_t last_brace = stream.rfind('}');
  for (size_t size = 0; size <= last_brace; ++size) {
    const StreamResult result = ReadGeminiStream({std::string_view(stream).substr(0, size)});
    ASSERT_TRUE(result.failure.has_value()) << size;
    EXPECT_FALSE(result.is_complete);
    EXPECT_EQ(result.client_bytes.find(kDone), std::string::npos);
  }
}

struct StreamCase {
  std::string name;
  std::string stream;
  FailureKind want;
  bool is_committed;
};

const std::vector<StreamCase> kFailures = {
    {"empty", "", FailureKind::kUpstreamMalformed, false},
    {"blocked prompt", Event(R"({"promptFeedback": {"blockReason": "SAFETY"}})"),
     FailureKind::kContentFilter, false},
    {"error first", Event(kError), FailureKind::kOverloaded, false},
    {"error in an array first", Event("[" + kError + "]"), FailureKind::kOverloaded, false},
    {"bare error", kError, FailureKind::kOverloaded, false},
    {"bare error in an array", "[" + kError + "\n]", FailureKind::kOverloaded, false},
    {"error after output", kText + Event(kError), FailureKind::kOverloaded, true},
    {"named error after output", kText + "event: error\n" + Event(kError), FailureKind::kOverloaded,
     true},
    {"bare error after output", kText + kError, FailureKind::kOverloaded, true},
    {"bare error after a finish reason", kStopText + kError, FailureKind::kOverloaded, true},
    {"error after a finish reason", kStopText + Event(kError), FailureKind::kOverloaded, true},
    {"ends without a finish reason", kText + kMore, FailureKind::kUpstreamInterrupted, true},
    {"filtered before output", Chunk("", R"("finishReason": "PROHIBITED_CONTENT",)"),
     FailureKind::kContentFilter, false},
    {"malformed call before output", Chunk("", R"("finishReason": "MALFORMED_FUNCTION_CALL",)"),
     FailureKind::kUpstreamMalformed, false},
    {"malformed call after output",
     kText + Chunk("", R"("finishReason": "MALFORMED_FUNCTION_CALL",)"),
     FailureKind::kUpstreamMalformed, true},
    {"other after output", kText + Chunk("", R"("finishReason": "OTHER",)"),
     FailureKind::kUpstreamError, true},
    {"no output at all",
     Event(
         R"({"candidates": [{"finishReason": "STOP"}],"usageMetadata": {"promptTokenCount": 3}})"),
     FailureKind::kUpstreamMalformed, false},
    {"no JSON after output", kText + Event("oops"), FailureKind::kUpstreamMalformed, true}};

TEST(GeminiStreamTest, FailuresInEveryPlaceAreTold) {
  for (const StreamCase& c : kFailures) {
    SCOPED_TRACE(c.name);
    const StreamResult result = ReadGeminiStream({c.stream});
    ASSERT_TRUE(result.failure.has_value());
    EXPECT_EQ(RuleFor(result.failure->kind).name, RuleFor(c.want).name) << result.failure->message;
    EXPECT_EQ(result.is_committed, c.is_committed);
    EXPECT_EQ(result.client_bytes.find(kDone), std::string::npos);
    candor_test::ForEverySplit(c.stream, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult again = ReadGeminiStream(pieces);
      ASSERT_TRUE(again.failure.has_value());
      EXPECT_EQ(again.failure->kind, result.failure->kind);
      EXPECT_EQ(again.client_bytes, result.client_bytes);
    });
  }
}

TEST(GeminiStreamTest, AFilterAfterOutputIsAFinishReason) {
  const StreamResult result = ReadGeminiStream({kText + Chunk("", R"("finishReason": "SAFETY",)")});
  EXPECT_TRUE(result.is_complete);
  EXPECT_NE(result.client_bytes.find(R"("finish_reason":"content_filter")"), std::string::npos);
}

TEST(GeminiStreamTest, ThoughtsWithoutAWordInTheEndAreLength) {
  const StreamResult result = ReadGeminiStream({Chunk("", R"("finishReason": "MAX_TOKENS",)")});
  EXPECT_TRUE(result.is_complete);
  EXPECT_NE(result.client_bytes.find(R"("finish_reason":"length")"), std::string::npos);
}

}  // namespace
}  // namespace gateway
