#include "gateway/dialects/anthropic.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "gateway/dialects/anthropic_relay.h"
#include "tests/support/read_stream.h"
#include "tests/support/split_feed.h"

namespace gateway {
namespace {

using candor_test::StreamResult;

constexpr char kStart[] =
    "event: message_start\n"
    R"(data: {"type":"message_start","message":{"id":"m","type":"message","content":[],"usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":2,"output_tokens":1}}})"
    "\n\n";
constexpr char kBlock[] =
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}})"
    "\n\n";
constexpr char kPing[] = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
constexpr char kText[] =
    "event: content_block_delta\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\"error\" message_stop"}})"
    "\n\n";
constexpr char kCall[] =
    "event: content_block_start\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"error","input":{}}})"
    "\n\n";
constexpr char kBlockEnd[] =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
constexpr char kDelta[] =
    "event: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}})"
    "\n\n";
constexpr char kEmptyDelta[] =
    "event: message_delta\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":0}})"
    "\n\n";
constexpr char kStop[] = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
constexpr char kUnknown[] = "event: news\ndata: {\"type\":\"news\"}\n\n";

std::string Join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

StreamResult Relayed(const std::vector<std::string_view>& pieces) {
  return candor_test::ReadStream(
      *AnthropicDialect().NewRelayedStream(Endpoint::kMessages, UsageChunk::kPassed), pieces);
}

std::string TextOf(const UpstreamRequest& request) {
  std::string text = request.head;
  for (const std::string_view piece : request.body) text += piece;
  return text;
}

std::optional<Failure> Classify(int status, std::string_view body) {
  return AnthropicDialect().ClassifyReply(Endpoint::kMessages,
                                          {status, Headers(), body, common::WallTime()});
}

TEST(AnthropicTest, AClientsRequestKeepsAllButTheModel) {
  const std::string body = R"({ "model": "smart", "x": [1,  2] })";
  const ProviderEndpoint provider{"api.anthropic.com", "", "", "sk-ant"};
  RequestScan scan;
  scan.model = "smart";
  scan.model_value_begin = body.find("\"smart\"");
  scan.model_value_end = scan.model_value_begin + 7;
  scan.is_stream = true;
  scan.passed_headers = {{"anthropic-beta", "a"}, {"anthropic-beta", "b"}};
  const std::string text = TextOf(
      AnthropicDialect().BuildRelay(provider, Endpoint::kMessages, "claude-opus-5", scan, body));
  EXPECT_TRUE(text.starts_with("POST /v1/messages HTTP/1.1\r\nHost: api.anthropic.com\r\n"));
  EXPECT_NE(text.find("\r\nx-api-key: sk-ant\r\nanthropic-version: 2023-06-01\r\n"
                      "anthropic-beta: a\r\nanthropic-beta: b\r\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\r\nAccept: text/event-stream\r\n"), std::string::npos);
  EXPECT_TRUE(text.ends_with("\r\n\r\n{ \"model\": \"claude-opus-5\", \"x\": [1,  2] }")) << text;
}

TEST(AnthropicTest, TheClientsVersionReplacesOurs) {
  RequestScan scan;
  scan.passed_headers = {{"anthropic-version", "2029-01-01"}};
  const std::string text = TextOf(
      AnthropicDialect().BuildRelay({"h", "/v1", "", ""}, Endpoint::kMessages, "", scan, "{}"));
  EXPECT_TRUE(text.starts_with("POST /v1/messages HTTP/1.1\r\n")) << text;
  EXPECT_EQ(text.find("2023-06-01"), std::string::npos);
  EXPECT_EQ(text.find("x-api-key"), std::string::npos);
  EXPECT_NE(text.find("anthropic-version: 2029-01-01\r\n"), std::string::npos);
}

TEST(AnthropicTest, TokensAreCountedByARouteOfTheirOwn) {
  const AnthropicDialect dialect;
  ASSERT_TRUE(dialect.Relays(Endpoint::kCountTokens));
  for (const char* base_path : {"", "/v1"}) {
    const std::string text =
        TextOf(dialect.BuildRelay({"h", base_path, "", ""}, Endpoint::kCountTokens, "", {}, "{}"));
    EXPECT_TRUE(text.starts_with("POST /v1/messages/count_tokens HTTP/1.1\r\n")) << text;
  }
  EXPECT_EQ(dialect.TokensUsed(Endpoint::kCountTokens, R"({"input_tokens":9})"), 0);
}

TEST(AnthropicTest, OnlyACountIsACountOfTokens) {
  const struct {
    const char* name;
    const char* body;
    std::optional<FailureKind> want;
  } kCases[] = {
      {"count", R"({"input_tokens":2095})", std::nullopt},
      {"count and more", R"({"context_management":{"a":1},"input_tokens":0})", std::nullopt},
      {"no count", R"({"context_management":{"input_tokens":1}})", FailureKind::kUpstreamMalformed},
      {"null", R"({"input_tokens":null})", FailureKind::kUpstreamMalformed},
      {"page", "<html>", FailureKind::kUpstreamMalformed},
      {"error", R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       FailureKind::kOverloaded},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    const auto failure = AnthropicDialect().ClassifyReply(
        Endpoint::kCountTokens, {200, Headers(), c.body, common::WallTime()});
    EXPECT_EQ(failure ? std::optional(failure->kind) : std::nullopt, c.want);
  }
}

TEST(AnthropicTest, OnlyAnAnswerOfTheModelIsASuccess) {
  struct Case {
    const char* name;
    const char* body;
    std::optional<FailureKind> want;
  };
  using enum FailureKind;
  const Case cases[] = {
      {"text", R"({"type":"message","content":[{"type":"text","text":"x"}]})", std::nullopt},
      {"text before its type", R"({"content":[{"text":"x","type":"text"}],"type":"message"})",
       std::nullopt},
      {"thinking", R"({"type":"message","content":[{"type":"thinking","thinking":"x"}]})",
       std::nullopt},
      {"call",
       R"({"type":"message","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]})",
       std::nullopt},
      {"nothing said, but counted",
       R"({"type":"message","content":[],"stop_reason":"end_turn","usage":{"output_tokens":3}})",
       std::nullopt},
      {"nothing said, but why",
       R"({"type":"message","content":[],"stop_reason":"refusal","usage":{"output_tokens":0}})",
       std::nullopt},
      {"a tool's word for error",
       R"({"type":"message","content":[{"type":"tool_use","input":{"error":{"type":"error"}}}]})",
       std::nullopt},
      {"nothing", R"({"type":"message","content":[],"stop_reason":"end_turn"})",
       kUpstreamMalformed},
      {"empty text",
       R"({"type":"message","content":[{"type":"text","text":""}],"stop_reason":"end_turn",
           "usage":{"input_tokens":4,"output_tokens":0}})",
       kUpstreamMalformed},
      {"error", R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})",
       kOverloaded},
      {"error beside an answer",
       R"({"type":"message","content":[{"type":"text","text":"x"}],
           "error":{"type":"rate_limit_error","message":"slow down"}})",
       kRateLimited},
      {"another API", R"({"object":"chat.completion","choices":[]})", kUpstreamMalformed},
      {"content of another type", R"({"type":"message","content":"x"})", kUpstreamMalformed},
      {"truncated", R"({"type":"message","content":[{"type":"text","text":"x"})",
       kUpstreamMalformed},
      {"page", "<!doctype html><title>Welcome</title>", kUpstreamMalformed},
      {"blank", " ", kUpstreamMalformed},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::optional<Failure> failure = Classify(200, c.body);
    ASSERT_EQ(failure.has_value(), c.want.has_value());
    if (failure) {
      EXPECT_EQ(failure->kind, *c.want) << failure->message;
    }
    const auto read = AnthropicDialect().ReadAnswer({200, Headers(), c.body, {}});
    EXPECT_EQ(std::holds_alternative<Failure>(read), c.want.has_value());
  }
}

TEST(AnthropicTest, ErrorsKeepTheirWords) {
  const std::optional<Failure> failure = Classify(
      529, R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})");
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->kind, FailureKind::kOverloaded);
  EXPECT_EQ(failure->error_object, R"({"type":"overloaded_error","message":"Overloaded"})");
}

TEST(AnthropicTest, TokensAreThoseOfTheCacheToo) {
  EXPECT_EQ(AnthropicDialect().TokensUsed(
                Endpoint::kMessages,
                R"({"type":"message","usage":{"input_tokens":1,"cache_read_input_tokens":20,
                    "cache_creation_input_tokens":300,"output_tokens":4000,
                    "cache_creation":{"input_tokens":9}}})"),
            4321);
  EXPECT_EQ(AnthropicDialect().TokensUsed(Endpoint::kMessages, "{"), 0);
}

TEST(AnthropicTest, AGoodStreamPassesByteForByteHoweverItIsCut) {
  const std::string streams[] = {
      Join({kStart, kBlock, kPing, kText, kText, kBlockEnd, kDelta, kStop}),
      Join({kStart, kCall, kBlockEnd, kUnknown, kDelta, kStop}),
      Join({kStart, kDelta, kStop}),
  };
  for (const std::string& stream : streams) {
    candor_test::ForEverySplit(stream, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult result = Relayed(pieces);
      ASSERT_FALSE(result.failure) << result.failure->message;
      ASSERT_TRUE(result.is_complete);
      ASSERT_EQ(result.client_bytes, stream);
      ASSERT_EQ(result.tokens, 17);
    });
  }
}

TEST(AnthropicTest, NothingReachesTheClientBeforeOutput) {
  const auto reader = AnthropicDialect().NewRelayedStream(Endpoint::kMessages, UsageChunk::kPassed);
  for (const char* silent : {kStart, kBlock, kPing, kUnknown}) {
    const StreamStep step = reader->Feed(silent);
    EXPECT_FALSE(step.is_committed) << silent;
    EXPECT_EQ(step.client_bytes, "");
  }
  const StreamStep step = reader->Feed(kText);
  EXPECT_TRUE(step.is_committed);
  EXPECT_EQ(step.client_bytes, Join({kStart, kBlock, kPing, kUnknown, kText}));
}

TEST(AnthropicTest, AStreamThatIsNotWholeIsAFailure) {
  struct Case {
    const char* name;
    std::string stream;
    FailureKind want;
  };
  using enum FailureKind;
  const std::string error =
      "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\","
      "\"message\":\"slow down\"}}\n\n";
  const std::string unnamed = error.substr(error.find("data:"));
  const std::string bare = R"({"type":"error","error":{"type":"overloaded_error","message":"x"}})";
  const Case cases[] = {
      {"empty", "", kUpstreamMalformed},
      {"nothing said", Join({kStart, kStop}), kUpstreamMalformed},
      {"nothing said or counted", Join({kStart, kBlock, kBlockEnd, kEmptyDelta, kStop}),
       kUpstreamMalformed},
      {"cut before output", Join({kStart, kBlock}), kUpstreamInterrupted},
      {"cut after output", Join({kStart, kBlock, kText}), kUpstreamInterrupted},
      {"cut before the end", Join({kStart, kBlock, kText, kBlockEnd, kDelta}),
       kUpstreamInterrupted},
      {"error first", error, kRateLimited},
      {"error before output", Join({kStart, error}), kRateLimited},
      {"error after output", Join({kStart, kBlock, kText, error, kStop}), kRateLimited},
      {"error without a name", Join({kStart, kBlock, kText, unnamed}), kRateLimited},
      {"error in place of a stream", bare, kOverloaded},
      {"error behind output", Join({kStart, kBlock, kText, bare}), kOverloaded},
      {"page", "<!doctype html><title>502 Bad Gateway</title>", kUpstreamMalformed},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    candor_test::ForEverySplit(c.stream, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult result = Relayed(pieces);
      ASSERT_TRUE(result.failure.has_value());
      ASSERT_EQ(result.failure->kind, c.want) << result.failure->message;
      ASSERT_FALSE(result.is_complete);
      ASSERT_EQ(result.client_bytes.find("event: message_stop"), std::string::npos);
    });
  }
}

}  // namespace
}  // namespace gateway
