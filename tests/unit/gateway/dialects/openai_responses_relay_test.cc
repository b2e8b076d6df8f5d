#include "gateway/dialects/openai_responses_relay.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "common/concat.h"
#include "gateway/dialects/dialect.h"
#include "tests/support/read_stream.h"
#include "tests/support/split_feed.h"

namespace gateway {
namespace {

using candor_test::StreamResult;

struct AnswerCase {
  const char* name;
  const char* body;
  std::optional<FailureKind> failure;
};

TEST(OpenAiResponsesRelayTest, AnAnswerIsToldFromAFailure) {
  using enum FailureKind;
  const AnswerCase cases[] = {
      {"text",
       R"({"id":"r","object":"response","status":"completed","error":null,"output":[
          {"type":"message","content":[{"type":"output_text","text":"hi"}]}]})",
       std::nullopt},
      {"a refusal",
       R"({"status":"completed","output":[
          {"content":[{"refusal":"no","type":"refusal"}],"type":"message"}]})",
       std::nullopt},
      {"a call", R"({"status":"completed","output":[{"type":"function_call","name":"f"}]})",
       std::nullopt},
      {"counted tokens", R"({"status":"completed","output":[],"usage":{"output_tokens":3}})",
       std::nullopt},
      {"cut before any text",
       R"({"status":"incomplete","error":null,"incomplete_details":{"reason":"max_output_tokens"},
          "output":[{"type":"reasoning","summary":[]}]})",
       std::nullopt},
      {"a failed tool inside a good answer",
       R"({"status":"completed","error":null,"output":[
          {"type":"mcp_call","status":"failed","error":{"type":"mcp_tool_error","code":500}},
          {"type":"message","content":[{"type":"output_text","text":"it failed"}]}]})",
       std::nullopt},
      {"a status of a part", R"({"output":[{"type":"message","status":"failed","content":[
          {"type":"output_text","text":"failed"}]}],"status":"completed"})",
       std::nullopt},
      {"failed with a rate limit",
       R"({"id":"r","status":"failed","output":[],"error":{"code":"rate_limit_exceeded",
          "message":"slow down"}})",
       kRateLimited},
      {"failed by the server",
       R"({"id":"r","status":"failed","output":[],"error":{"code":"server_error",
          "message":"went wrong"},"usage":null})",
       kUpstreamError},
      {"failed after some output",
       R"({"status":"failed","output":[{"type":"message","content":[
          {"type":"output_text","text":"hi"}]}],"error":{"code":"server_error","message":"x"}})",
       kUpstreamError},
      {"failed without a word", R"({"id":"r","status":"failed","output":[],"error":null})",
       kUpstreamError},
      {"an error beside completed",
       R"({"status":"completed","error":{"code":"server_error","message":"x"},"output":[]})",
       kUpstreamError},
      {"empty", R"({"status":"completed","error":null,"output":[],"usage":{"output_tokens":0}})",
       kUpstreamMalformed},
      {"an empty message", R"({"status":"completed","output":[{"type":"message","content":[
          {"type":"output_text","text":""}]}]})",
       kUpstreamMalformed},
      {"only a list of tools",
       R"({"status":"completed","output":[{"type":"mcp_list_tools","tools":[{"name":"t"}]}]})",
       kUpstreamMalformed},
      {"still under way", R"({"status":"queued","output":[]})", kUpstreamMalformed},
      {"another API", R"({"object":"chat.completion","choices":[{"message":{"content":"hi"}}]})",
       kUpstreamMalformed},
      {"an error object", R"({"error":{"message":"x","code":"insufficient_quota"}})",
       kQuotaExhausted},
      {"an envelope", R"({"success":false,"result":[],"error":[{"code":2005,"message":"x"}]})",
       kUpstreamError},
      {"cut", R"({"status":"completed","output":[{"type":"mess)", kUpstreamMalformed},
      {"a page", "<html><head><title>Oops</title></head></html>", kUpstreamMalformed},
      {"an array", "[]", kUpstreamMalformed},
      {"nothing", "", kUpstreamMalformed},
  };
  const Dialect& dialect = *FindDialect("openai");
  for (const AnswerCase& c : cases) {
    SCOPED_TRACE(c.name);
    const Headers headers;
    const auto failure = dialect.ClassifyReply(Endpoint::kResponses, {200, headers, c.body, {}});
    ASSERT_EQ(failure.has_value(), c.failure.has_value()) << (failure ? failure->message : "");
    if (!failure) continue;
    EXPECT_EQ(RuleFor(failure->kind).name, RuleFor(*c.failure).name);
    EXPECT_FALSE(failure->message.empty());
  }
}

std::string Event(const std::string& type, const std::string& members) {
  return common::Concat("event: ", type, "\ndata: {\"type\":\"", type, "\",", members, "}\n\n");
}

std::string Numbered(const std::string& type, int number, const std::string& members) {
  return Event(type, common::Concat("\"sequence_number\":", number, members));
}

constexpr char kBare[] = R"(,"response":{"id":"resp_1","status":"in_progress","error":null,)"
                         R"("output":[],"usage":null,"metadata":{"sequence_number":"9"}})";

std::string Created() { return Numbered("response.created", 0, kBare); }
std::string InProgress() { return Numbered("response.in_progress", 1, kBare); }
std::string ItemAdded(const std::string& type) {
  return Numbered("response.output_item.added", 2,
                  common::Concat(R"(,"output_index":0,"item":{"id":"i","type":")", type,
                                 R"(","content":[],"status":"in_progress"})"));
}
std::string PartAdded() {
  return Numbered("response.content_part.added", 3,
                  R"(,"item_id":"i","part":{"type":"output_text","text":""})");
}
std::string TextDelta(const std::string& text) {
  return Numbered("response.output_text.delta", 4,
                  common::Concat(R"(,"item_id":"i","delta":")", text, R"(","logprobs":[])"));
}
std::string Completed(const std::string& output, int tokens) {
  return Numbered(
      "response.completed", 5,
      common::Concat(R"(,"response":{"id":"resp_1","status":"completed","error":null,)",
                     R"("output":[)", output, R"(],"usage":{"input_tokens":3,)",
                     R"("output_tokens":)", tokens, R"(,"total_tokens":)", tokens + 3, "}}"));
}
std::string Incomplete() {
  return Numbered("response.incomplete", 5,
                  R"(,"response":{"id":"resp_1","status":"incomplete","error":null,)"
                  R"("incomplete_details":{"reason":"max_output_tokens"},"output":[]})");
}

StreamResult Relayed(const std::vector<std::string_view>& pieces) {
  return candor_test::ReadStream(
      *FindDialect("openai")->NewRelayedStream(Endpoint::kResponses, UsageChunk::kPassed), pieces);
}

const std::string kBegin = Created() + InProgress() + ItemAdded("message") + PartAdded();

TEST(OpenAiResponsesRelayTest, AGoodStreamPassesByteForByteHoweverItIsCut) {
  const std::string done_item =
      R"({"type":"message","content":[{"type":"output_text","text":"hi"}]})";
  const std::string crlf =
      "event: x\r\ndata: {\"type\":\"response.output_text.delta\",\"delta\":"
      "\"a\"}\r\n\r\n";
  const std::string words = TextDelta(R"(\"error\": {\"type\":\"error\"} \"status\":\"failed\")");
  const std::string unnamed =
      "data: {\"sequence_number\":4,\"delta\":\"a\",\"type\":\"response.output_text.delta\"}\n\n";
  const std::string keepalive = "event: keepalive\ndata: {\"type\":\"keepalive\"}\n\n";
  const std::string inputs[] = {
      kBegin + TextDelta("hi") + TextDelta(" you") + Completed(done_item, 4),
      kBegin + crlf + Completed("", 4),
      kBegin + words + words + Completed("", 4),
      kBegin + unnamed + unnamed + keepalive + ": still there\n\n" + Completed("", 4),
      Created() + ItemAdded("function_call") + Completed("", 4),
      Created() +
          Numbered("response.output_item.done", 2, common::Concat(R"(,"item":)", done_item)) +
          Completed("", 4),
      Created() + Numbered("response.reasoning_summary_text.delta", 2, R"(,"delta":"r")") +
          Completed("", 4),
      Created() + Completed(done_item, 4),
      Created() + ItemAdded("reasoning") + Completed("", 4),
  };
  for (const std::string& input : inputs) {
    SCOPED_TRACE(input);
    candor_test::ForEverySplit(input, [&](const std::vector<std::string_view>& pieces) {
      const StreamResult result = Relayed(pieces);
      ASSERT_FALSE(result.failure) << result.failure->message;
      EXPECT_TRUE(result.is_committed);
      EXPECT_TRUE(result.is_complete);
      EXPECT_EQ(result.client_bytes, input);
      EXPECT_EQ(result.tokens, 7);
      EXPECT_EQ(result.position.response_id, "resp_1");
    });
  }
}

TEST(OpenAiResponsesRelayTest, AnAnswerCutShortIsOne) {
  for (const std::string& input :
       {Created() + Incomplete(), kBegin + TextDelta("a") + Incomplete()}) {
    const StreamResult result = Relayed({input});
    EXPECT_FALSE(result.failure);
    EXPECT_TRUE(result.is_complete);
    EXPECT_EQ(result.client_bytes, input);
  }
}

TEST(OpenAiResponsesRelayTest, NothingIsSentBeforeTheFirstOutput) {
  const std::string silent[] = {
      Created(),
      InProgress(),
      Numbered("response.queued", 1, kBare),
      ItemAdded("message"),
      ItemAdded("reasoning"),
      ItemAdded("mcp_list_tools"),
      PartAdded(),
      TextDelta(""),
      Numbered("response.reasoning_summary_part.added", 3, R"(,"part":{"text":""})"),
      Numbered("response.output_item.done", 3, R"(,"item":{"type":"reasoning","summary":[]})"),
  };
  for (const std::string& event : silent) {
    SCOPED_TRACE(event);
    const auto reader =
        FindDialect("openai")->NewRelayedStream(Endpoint::kResponses, UsageChunk::kPassed);
    StreamStep step = reader->Feed(event);
    EXPECT_FALSE(step.is_committed);
    EXPECT_EQ(step.client_bytes, "");
    const std::string output = TextDelta("a");
    step = reader->Feed(output);
    EXPECT_TRUE(step.is_committed);
    EXPECT_EQ(step.client_bytes, event + output);
  }
}

struct FailureCase {
  const char* name;
  std::string event;
  FailureKind kind;
};

TEST(OpenAiResponsesRelayTest, AFailureIsSeenInEveryShapeAndPlace) {
  using enum FailureKind;
  const FailureCase cases[] = {
      {"nested",
       Event("error", R"("error":{"type":"tokens","code":"rate_limit_exceeded","message":"wait"})"),
       kRateLimited},
      {"flat",
       Event("error", R"("code":"rate_limit_exceeded","message":"wait","param":null,)"
                      R"("sequence_number":2)"),
       kRateLimited},
      {"both",
       Event("error", R"("code":"server_error","message":"x","error":{"code":"server_error",)"
                      R"("message":"x"},"sequence_number":2)"),
       kUpstreamError},
      {"failed",
       Event("response.failed", R"("response":{"id":"resp_1","status":"failed","output":[],)"
                                R"("error":{"code":"insufficient_quota","message":"pay"}})"),
       kQuotaExhausted},
      {"failed without a word",
       Event("response.failed", R"("response":{"id":"resp_1","status":"failed","error":null})"),
       kUpstreamError},
      {"completed, but failed",
       Event("response.completed", R"("response":{"status":"failed","output":[],)"
                                   R"("error":{"code":"server_is_overloaded","message":"busy"}})"),
       kOverloaded},
      {"an error of chat completions",
       "data: {\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}\n\n",
       kRateLimited},
      {"bare JSON", "{\"error\":{\"message\":\"slow\",\"code\":\"rate_limit_exceeded\"}}\n",
       kRateLimited},
      {"the marker of another dialect", "data: [DONE]\n\n", kUpstreamMalformed},
      {"no JSON", "data: {\"type\":\"response.output_text.delta\"\n\n", kUpstreamMalformed},
  };
  const std::string whole[] = {Created(),   InProgress(),   ItemAdded("message"),
                               PartAdded(), TextDelta("a"), TextDelta("b")};
  for (const FailureCase& c : cases) {
    std::string before;
    for (size_t place = 0; place <= std::size(whole); ++place) {
      SCOPED_TRACE(common::Concat(c.name, " after ", place));
      const bool is_committed = place > 4;
      const std::string input = before + c.event;
      candor_test::ForEverySplit(input, [&](const std::vector<std::string_view>& pieces) {
        const StreamResult result = Relayed(pieces);
        ASSERT_TRUE(result.failure);
        EXPECT_EQ(RuleFor(result.failure->kind).name, RuleFor(c.kind).name);
        EXPECT_FALSE(result.is_complete);
        EXPECT_EQ(result.is_committed, is_committed);
        EXPECT_EQ(result.client_bytes, is_committed ? before : "");
        // What we say ourselves goes on where the client's last event ended.
        if (is_committed) {
          EXPECT_EQ(result.position.next_sequence_number, 5);
        }
      });
      if (place < std::size(whole)) before += whole[place];
    }
  }
}

TEST(OpenAiResponsesRelayTest, EveryCutOfAGoodStreamIsSeen) {
  const std::string whole = kBegin + TextDelta("a") + Completed("", 4);
  for (size_t size = 0; size < whole.size() - 2; ++size) {
    SCOPED_TRACE(size);
    const StreamResult result = Relayed({std::string_view(whole).substr(0, size)});
    ASSERT_TRUE(result.failure);
    EXPECT_EQ(result.client_bytes.find("response.completed"), std::string::npos);
  }
}

TEST(OpenAiResponsesRelayTest, AnEmptyAnswerIsNone) {
  const StreamResult result = Relayed({kBegin + Completed("", 0)});
  ASSERT_TRUE(result.failure);
  EXPECT_EQ(result.failure->kind, FailureKind::kUpstreamMalformed);
  EXPECT_EQ(result.client_bytes, "");
}

struct RouteCase {
  int status;
  const char* body;
  bool is_missing;
};

TEST(OpenAiResponsesRelayTest, AMissingRouteIsToldFromWhatIsMissingInTheRequest) {
  const RouteCase cases[] = {
      {404, "", true},
      {404, "404 page not found", true},
      {404, "<html><head><title>404 Not Found</title></head></html>", true},
      {404, R"({"detail":"Not Found"})", true},
      {404, R"({"error":{"code":404,"message":"File Not Found","type":"not_found_error"}})", true},
      {404, R"x({"error":{"message":"Invalid URL (POST /v1/responses)",
               "type":"invalid_request_error","param":null,"code":null}})x",
       true},
      {404, R"({"error":{"message":"Unknown request URL: POST /responses","code":"unknown_url",
               "type":"invalid_request_error"}})",
       true},
      {404, R"({"error":{"code":"404","message":"Resource not found"}})", true},
      {404, R"({"message":"no Route matched with those values"})", true},
      {404, R"({"error":{"message":"Not found."}})", true},
      {404, R"({"message":"Cannot POST /v1/responses"})", true},
      {404, "{}", true},
      {405, R"({"detail":"Method Not Allowed"})", true},
      {501, "", true},
      {404, R"({"error":{"message":"The model `x` does not exist","code":"model_not_found"}})",
       false},
      {404, R"({"object":"error","message":"The model `x` does not exist.","code":404})", false},
      {404, R"({"error":"model 'x' not found"})", false},
      {404, R"({"error":{"code":"DeploymentNotFound","message":"It does not exist."}})", false},
      {404, R"({"error":{"message":"Item with id 'rs_1' not found.","param":"input",
               "type":"invalid_request_error","code":null}})",
       false},
      {404, R"({"error":{"message":"Previous response with id 'resp_1' not found."}})", false},
      {404, R"({"error":{"message":"No such File object: file-1"}})", false},
      {404, R"({"error":{"message":"Vector store not found."}})", false},
      {400, R"x({"error":{"message":"Invalid URL (POST /v1/responses)"}})x", false},
      {500, "", false},
      {200, "", false},
  };
  for (const RouteCase& c : cases) {
    SCOPED_TRACE(common::Concat(c.status, ' ', c.body));
    EXPECT_EQ(HasNoSuchRoute(c.status, c.body), c.is_missing);
  }
}

struct PathCase {
  const char* dialect;
  const char* version;
  const char* want;
};

TEST(OpenAiResponsesRelayTest, EachProviderHasItsOwnPath) {
  const PathCase cases[] = {
      {"openai", "", "/base/responses"},
      {"azure", "2025-03-01-preview", "/base/openai/responses?api-version=2025-03-01-preview"},
      {"azure", "2025-04-01-preview", "/base/openai/responses?api-version=2025-04-01-preview"},
      {"azure", "2024-10-21", "/base/openai/v1/responses"},
      {"azure", "v1", "/base/openai/v1/responses"},
      {"azure", "preview", "/base/openai/v1/responses?api-version=preview"},
  };
  for (const PathCase& c : cases) {
    SCOPED_TRACE(c.want);
    const std::string body = R"({"input":"x","model":"public","stream":true})";
    const auto scan = std::get<RequestScan>(ScanRequest(Endpoint::kResponses, body));
    ProviderEndpoint provider;
    provider.host = "h";
    provider.base_path = "/base";
    provider.api_version = c.version;
    const UpstreamRequest request =
        FindDialect(c.dialect)->BuildRelay(provider, Endpoint::kResponses, "own", scan, body);
    EXPECT_TRUE(request.head.starts_with(common::Concat("POST ", c.want, " HTTP/1.1\r\n")))
        << request.head;
    std::string sent;
    for (const std::string_view piece : request.body) sent += piece;
    EXPECT_EQ(sent, R"({"input":"x","model":"own","stream":true})");
  }
}

}  // namespace
}  // namespace gateway
