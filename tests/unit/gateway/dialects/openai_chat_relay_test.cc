#include "gateway/dialects/openai_chat_relay.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "tests/support/read_stream.h"
#include "tests/support/split_feed.h"

namespace gateway {
namespace {

using candor_test::StreamResult;

constexpr char kRole[] =
    R"(data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})"
    "\n\n";
constexpr char kText[] =
    R"(data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]})"
    "\n\n";
constexpr char kStop[] = R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]})"
                         "\n\n";
constexpr char kUsage[] =
    R"(data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}})"
    "\n\n";
constexpr char kDone[] = "data: [DONE]\n\n";

StreamResult Relayed(const std::vector<std::string_view>& pieces,
                     UsageChunk usage_chunk = UsageChunk::kPassed) {
  OpenAiChatRelay reader(usage_chunk);
  return candor_test::ReadStream(reader, pieces);
}

std::string Join(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) text += part;
  return text;
}

struct GoodCase {
  const char* name;
  std::string input;
  std::string want;  // for the client
  int64_t tokens;
};

TEST(OpenAiStreamTest, AGoodStreamPassesByteForByteHoweverItIsCut) {
  const std::string whole = Join({kRole, kText, kStop, kUsage, kDone});
  const std::string reasoning =
      "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"r\"}}]}\r\n\r\n";
  const std::string tool = R"(data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c"}]}}]})"
                           "\n\n";
  const std::string completion =
      "data: {\"choices\":[{\"text\":\"a\",\"finish_reason\":null}]}\n\n";
  const std::string quoted_words =
      R"(data: {"choices":[{"delta":{"content":"\"error\": \"usage\":{ [DONE]"}}]})"
      "\n\n";
  const std::string exact_word = R"(data: {"choices":[{"delta":{"content":"error"}}]})"
                                 "\n\n";
  const std::string null_error = R"(data: {"error":null,"choices":[{"delta":{"content":"b"}}]})"
                                 "\n\n";
  const std::string filtered =
      R"(data: {"choices":[{"delta":{"content":"c"},"content_filter_result":{"error":{"code":"content_filter_error","message":"The contents are not filtered"}}}]})"
      "\n\n";
  const GoodCase cases[] = {
      {"plain", whole, whole, 7},
      {"carriage returns and reasoning", Join({reasoning, kStop, kDone}),
       Join({reasoning, kStop, kDone}), 0},
      {"tool call", Join({kRole, tool, kStop, kDone}), Join({kRole, tool, kStop, kDone}), 0},
      {"text completion", Join({completion, kDone}), Join({completion, kDone}), 0},
      {"only a finish reason", Join({kRole, kStop, kDone}), Join({kRole, kStop, kDone}), 0},
      {"comments", Join({": wait\n\n", kText, ": wait\n\n", kStop, kDone}),
       Join({": wait\n\n", kText, ": wait\n\n", kStop, kDone}), 0},
      {"named events without data are dropped", Join({kText, "event: ping\n\n", kStop, kDone}),
       Join({kText, kStop, kDone}), 0},
      {"words that only look like errors",
       Join({kText, quoted_words, exact_word, null_error, filtered, kStop, kDone}),
       Join({kText, quoted_words, exact_word, null_error, filtered, kStop, kDone}), 0},
      {"the same before the commit", Join({filtered, kStop, kDone}), Join({filtered, kStop, kDone}),
       0},
      {"the marker without its empty line", Join({kText, kStop, "data: [DONE]"}),
       Join({kText, kStop, kDone}), 0},
      {"the marker with one line end", Join({kText, kStop, "data: [DONE]\n"}),
       Join({kText, kStop, kDone}), 0},
  };
  for (const GoodCase& c : cases) {
    SCOPED_TRACE(c.name);
    candor_test::ForEverySplit(c.input, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult result = Relayed(pieces);
      ASSERT_FALSE(result.failure) << result.failure->message;
      EXPECT_TRUE(result.is_committed);
      EXPECT_TRUE(result.is_complete);
      EXPECT_EQ(result.client_bytes, c.want);
      EXPECT_EQ(result.tokens, c.tokens);
    });
  }
}

TEST(OpenAiChatRelayTest, UsageThatOnlyWeHaveAskedForIsCountedAndTakenOut) {
  const std::string filter = "data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n";
  const std::string last =
      R"(data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"total_tokens":5}})"
      "\n\n";
  const std::string spaced =
      R"(data: { "choices" : [ ] , "usage" : {"prompt_tokens":3,"completion_tokens":4} })"
      "\n\n";
  const std::string error =
      R"(data: {"choices":[],"usage":{"total_tokens":1},"error":{"message":"x","code":"server_error"}})"
      "\n\n";
  candor_test::ForEverySplit(
      Join({filter, kRole, kText, kStop, kUsage, kDone}),
      [&](const std::vector<std::string_view>& pieces) {
        const StreamResult result = Relayed(pieces, UsageChunk::kTakenOut);
        ASSERT_TRUE(result.is_complete);
        EXPECT_EQ(result.client_bytes, Join({filter, kRole, kText, kStop, kDone}));
        EXPECT_EQ(result.tokens, 7);
      });
  EXPECT_EQ(Relayed({Join({kText, spaced, kDone})}, UsageChunk::kTakenOut).client_bytes,
            Join({kText, kDone}));
  EXPECT_EQ(Relayed({Join({kText, last, kDone})}, UsageChunk::kTakenOut).client_bytes,
            Join({kText, last, kDone}));
  EXPECT_EQ(Relayed({Join({kText, error, kDone})}, UsageChunk::kTakenOut).kind(),
            FailureKind::kUpstreamError);
}

struct BadCase {
  const char* name;
  std::string input;
  FailureKind kind;
  bool is_committed;
  std::string client_bytes;
};

TEST(OpenAiStreamTest, AFailureIsSeenInEveryShapeAndPlace) {
  using enum FailureKind;
  const std::string error =
      R"(data: {"error":{"message":"slow down","type":"tokens","code":"rate_limit_exceeded"}})"
      "\n\n";
  const std::string with_choices =
      R"(data: {"choices":[{"delta":{"content":""},"finish_reason":"error"}],"error":{"code":503,"message":"no capacity"}})"
      "\n\n";
  const std::string in_choice =
      R"(data: {"choices":[{"delta":{},"finish_reason":"error","error":{"code":429,"message":"wait"}}]})"
      "\n\n";
  const std::string named = "event: error\ndata: {\"message\":\"went wrong\"}\n\n";
  const std::string named_text = "event: error\ndata: went wrong\n\n";
  const std::string flat =
      R"(data: {"object":"error","message":"wait","type":"rate_limited","code":"1300"})"
      "\n\n";
  const std::string detail = "data: {\"detail\":\"Too many requests\"}\n\n";
  const std::string bare = "{\"error\":{\"message\":\"x\",\"code\":\"insufficient_quota\"}}";
  const std::string pretty =
      "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"x\",\n    \"status\": "
      "\"UNAVAILABLE\"\n  }\n}\n";
  const std::string page = "<html>\n<head><title>502 Bad Gateway</title></head>\n</html>\n";
  const BadCase cases[] = {
      {"error first", error, kRateLimited, false, ""},
      {"error after the role", Join({kRole, error}), kRateLimited, false, ""},
      {"error after text", Join({kText, error, kDone}), kRateLimited, true, kText},
      {"beside choices, first", with_choices, kOverloaded, false, ""},
      {"beside choices, later", Join({kText, with_choices, kDone}), kOverloaded, true, kText},
      {"inside a choice", Join({kText, in_choice, kDone}), kRateLimited, true, kText},
      {"named event", Join({kText, named}), kUpstreamError, true, kText},
      {"named event of text", Join({kRole, named_text}), kUpstreamError, false, ""},
      {"flat", flat, kRateLimited, false, ""},
      {"flat after text", Join({kText, flat, kDone}), kRateLimited, true, kText},
      {"detail", Join({kText, detail, kDone}), kRateLimited, true, kText},
      {"bare JSON", bare, kQuotaExhausted, false, ""},
      {"bare JSON of several lines", pretty, kOverloaded, false, ""},
      {"bare JSON in an array", Join({"[", pretty, "]"}), kOverloaded, false, ""},
      {"bare JSON after events", Join({kText, pretty}), kOverloaded, true, kText},
      {"bare JSON, then the marker", Join({kText, pretty, "\n", kDone}), kOverloaded, true, kText},
      {"page", page, kUpstreamMalformed, false, ""},
      {"no JSON before the commit", "data: hello\n\n", kUpstreamMalformed, false, ""},
      {"no JSON after it", Join({kText, "data: hello\n\n"}), kUpstreamMalformed, true, kText},
      {"a status as text", "data: error code: 524\n\n", kUpstreamTimeout, false, ""},
      {"nothing at all", "", kUpstreamMalformed, false, ""},
      {"only comments", ": wait\n\n: wait\n\n", kUpstreamMalformed, false, ""},
      {"only a role", kRole, kUpstreamInterrupted, false, ""},
      {"a role and the marker", Join({kRole, kDone}), kUpstreamMalformed, false, ""},
      {"only the marker", kDone, kUpstreamMalformed, false, ""},
      {"cut after text", Join({kText, kText}), kUpstreamInterrupted, true, Join({kText, kText})},
      {"cut inside an event", Join({kText, "data: {\"choices\":[{\"del"}), kUpstreamInterrupted,
       true, kText},
      {"cut inside the first event", "data: {\"choices\":[{\"del", kUpstreamInterrupted, false, ""},
      {"cut inside the marker", Join({kText, kStop, "data: [DON"}), kUpstreamInterrupted, true,
       Join({kText, kStop})},
      {"no marker after the finish reason", Join({kText, kStop, kUsage}), kUpstreamInterrupted,
       true, Join({kText, kStop, kUsage})},
  };
  for (const BadCase& c : cases) {
    SCOPED_TRACE(c.name);
    candor_test::ForEverySplit(c.input, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult result = Relayed(pieces);
      ASSERT_TRUE(result.failure);
      EXPECT_EQ(RuleFor(result.failure->kind).name, RuleFor(c.kind).name);
      EXPECT_EQ(result.failure->upstream_status, 200);
      EXPECT_FALSE(result.failure->message.empty());
      EXPECT_FALSE(result.is_complete);
      EXPECT_EQ(result.is_committed, c.is_committed);
      EXPECT_EQ(result.client_bytes, c.client_bytes);
    });
  }
}

TEST(OpenAiStreamTest, EveryCutOfAGoodStreamIsSeen) {
  const std::string whole = Join({kRole, kText, kStop, kDone});
  for (size_t size = 0; size < whole.size() - 2; ++size) {
    SCOPED_TRACE(size);
    const StreamResult result = Relayed({std::string_view(whole).substr(0, size)});
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.client_bytes.find("[DONE]"), std::string::npos);
  }
}

TEST(OpenAiStreamTest, WhatIsHeldBackIsBounded) {
  OpenAiChatRelay many(UsageChunk::kPassed);
  StreamStep step;
  int fed = 0;
  while (!step.failure && fed < 1000) {
    step = many.Feed(kRole);
    ++fed;
  }
  EXPECT_EQ(fed, kMaxHeldEvents + 1);
  EXPECT_EQ(step.failure->kind, FailureKind::kUpstreamMalformed);

  OpenAiChatRelay endless(UsageChunk::kPassed);
  step = endless.Feed(kText);
  const std::string line(1 << 20, 'x');
  size_t bytes = 0;
  for (step = endless.Feed("data: "); !step.failure && bytes < 4 * kMaxEventBytes;) {
    step = endless.Feed(line);
    bytes += line.size();
  }
  EXPECT_TRUE(step.failure);
  EXPECT_LE(bytes, kMaxEventBytes + line.size());
}

}  // namespace
}  // namespace gateway
