#include "gateway/dialects/openai.h"

#include <gtest/gtest.h>

#include <string>

#include "gateway/dialects/dialect.h"

namespace gateway {
namespace {

std::string BodyOf(const UpstreamRequest& request) {
  std::string body;
  for (const std::string_view piece : request.body) body += piece;
  return body;
}

RequestScan Scan(Endpoint endpoint, const std::string& body) {
  return std::get<RequestScan>(ScanRequest(endpoint, body));
}

TEST(DialectListTest, KnowsItsDialectsByName) {
  for (const std::string_view name : DialectNames()) {
    ASSERT_NE(FindDialect(name), nullptr);
    EXPECT_EQ(FindDialect(name)->name(), name);
  }
  EXPECT_EQ(FindDialect("telepathy"), nullptr);
}

TEST(OpenAiRequestTest, ReplacesOnlyTheModel) {
  const std::string body = R"({"messages":[{"content":"model"}], "model" : "mine","n":1})";
  const ProviderEndpoint provider = {
      .host = "api.example.com", .base_path = "/v1", .api_version = "", .credential = "k-1"};
  UpstreamRequest built =
      FindDialect("openai")->BuildRelay(provider, Endpoint::kChatCompletions, "yours \"x\"",
                                        Scan(Endpoint::kChatCompletions, body), body);
  const UpstreamRequest request = std::move(built);
  const std::string want = R"({"messages":[{"content":"model"}], "model" : "yours \"x\"","n":1})";
  EXPECT_EQ(BodyOf(request), want);
  EXPECT_EQ(request.head,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: api.example.com\r\n"
            "Authorization: Bearer k-1\r\nContent-Type: application/json\r\nContent-Length: " +
                std::to_string(want.size()) +
                "\r\nAccept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: "
                "candor/" CANDOR_VERSION "\r\n\r\n");
}

TEST(OpenAiRequestTest, AStreamIsAskedForItsTokensWhereTheProviderIsKnownToTellThem) {
  struct Case {
    const char* dialect;
    const char* host;
    const char* api_version;
    StreamUsage mode;
    bool is_asked;
  };
  const Case cases[] = {
      {"openai", "api.openai.com", "", StreamUsage::kAuto, true},
      {"openai", "api.openai.com", "", StreamUsage::kLeave, false},
      {"openai", "10.0.0.1:8000", "", StreamUsage::kAuto, false},
      {"openai", "10.0.0.1:8000", "", StreamUsage::kAsk, true},
      {"azure", "x.azure.com", "2024-10-21", StreamUsage::kAuto, true},
      {"azure", "x.azure.com", "2024-06-01", StreamUsage::kAuto, false},
      {"azure", "x.azure.com", "v1", StreamUsage::kAuto, true},
  };
  const std::string rest = R"("stream":true,"messages":[],"model":)";
  const std::string body = "{" + rest + R"("m"})";
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.dialect) + c.host + c.api_version);
    const ProviderEndpoint provider = {.host = c.host,
                                       .base_path = "",
                                       .api_version = c.api_version,
                                       .credential = "",
                                       .stream_usage = c.mode};
    for (const std::string model : {"m", "other"}) {
      const UpstreamRequest request =
          FindDialect(c.dialect)->BuildRelay(provider, Endpoint::kChatCompletions, model,
                                             Scan(Endpoint::kChatCompletions, body), body);
      const char* added = c.is_asked ? R"("stream_options":{"include_usage":true},)" : "";
      EXPECT_EQ(BodyOf(request), std::string("{") + added + rest + "\"" + model + "\"}");
      EXPECT_EQ(request.asks_for_usage, c.is_asked);
    }
  }
  const std::string whole = R"({"messages":[],"model":"m"})";
  const UpstreamRequest request = FindDialect("openai")->BuildRelay(
      {.host = "api.openai.com", .base_path = "", .api_version = "", .credential = ""},
      Endpoint::kChatCompletions, "m", Scan(Endpoint::kChatCompletions, whole), whole);
  EXPECT_EQ(BodyOf(request), whole);
}

TEST(OpenAiRequestTest, ABodyWithTheRightModelIsOnePieceOfTheClients) {
  const std::string body = R"({"model":"m","input":"x"})";
  const UpstreamRequest request = FindDialect("openai")->BuildRelay(
      {.host = "h", .base_path = "", .api_version = "", .credential = ""}, Endpoint::kEmbeddings,
      "m", Scan(Endpoint::kEmbeddings, body), body);
  ASSERT_EQ(request.body.size(), 1u);
  EXPECT_EQ(request.body[0].data(), body.data());
  EXPECT_TRUE(request.head.starts_with("POST /embeddings HTTP/1.1\r\nHost: h\r\nContent-Type:"));
}

TEST(AzureRequestTest, NamesTheDeploymentInThePath) {
  const std::string body = R"({"model":"m","messages":[],"stream":true})";
  const UpstreamRequest request = FindDialect("azure")->BuildRelay(
      {.host = "x.example.com", .base_path = "", .api_version = "2024-10-21", .credential = "k"},
      Endpoint::kChatCompletions, "my deployment/4o", Scan(Endpoint::kChatCompletions, body), body);
  EXPECT_TRUE(request.head.starts_with(
      "POST /openai/deployments/my%20deployment%2F4o/chat/completions?api-version=2024-10-21 "
      "HTTP/1.1\r\nHost: x.example.com\r\napi-key: k\r\n"));
  EXPECT_NE(request.head.find("\r\nAccept: text/event-stream\r\n"), std::string::npos);
}

struct AnswerCase {
  const char* name;
  Endpoint endpoint;
  std::string body;
  std::string want;  // name of the kind, or "ok"
};

TEST(OpenAiReplyTest, ASuccessHasToProveThatTheModelAnswered) {
  const Endpoint chat = Endpoint::kChatCompletions;
  const AnswerCase cases[] = {
      {"text", chat, R"({"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]})", "ok"},
      {"parts", chat, R"({"choices":[{"message":{"content":[{"text":"a"}]}}]})", "ok"},
      {"tool call", chat,
       R"({"choices":[{"message":{"content":null,"tool_calls":[{"id":"c"}]},"finish_reason":"tool_calls"}]})",
       "ok"},
      {"refusal", chat, R"({"choices":[{"message":{"content":null,"refusal":"no"}}]})", "ok"},
      {"reasoning ate the budget", chat,
       R"({"choices":[{"message":{"content":""},"finish_reason":"length"}]})", "ok"},
      {"filtered", chat,
       R"({"choices":[{"message":{"content":""},"finish_reason":"content_filter"}]})", "ok"},
      {"silence that was counted", chat,
       R"({"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"completion_tokens":1}})",
       "ok"},
      {"error null", chat, R"({"error":null,"choices":[{"message":{"content":"a"}}]})", "ok"},
      {"azure's filter trouble is no error", chat,
       R"({"choices":[{"message":{"content":"a"},"content_filter_result":{"error":{"code":"x"}}}]})",
       "ok"},
      {"completion", Endpoint::kCompletions, R"({"choices":[{"text":"a"}]})", "ok"},
      {"embedding", Endpoint::kEmbeddings, R"({"data":[{"embedding":[0.1,-2e-3]}]})", "ok"},
      {"embedding as text", Endpoint::kEmbeddings, R"({"data":[{"embedding":"AAAA"}]})", "ok"},

      {"empty body", chat, "", "upstream_malformed"},
      {"white space", chat, " \n", "upstream_malformed"},
      {"truncated", chat, R"({"choices":[{"message":{"content":"a"}}])", "upstream_malformed"},
      {"page", chat, "<!DOCTYPE html><title>Hi</title>", "upstream_malformed"},
      {"text", chat, "ok", "upstream_malformed"},
      {"other JSON", chat, R"({"hello":"world"})", "upstream_malformed"},
      {"no object", chat, "[]", "upstream_malformed"},
      {"null", chat, "null", "upstream_malformed"},
      {"choices of the wrong type", chat, R"({"choices":{}})", "upstream_malformed"},
      {"no choices", chat, R"({"choices":[]})", "upstream_malformed"},
      {"empty completion", chat,
       R"({"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"completion_tokens":0}})",
       "upstream_malformed"},
      {"empty message", chat, R"({"choices":[{"message":{"content":null,"tool_calls":[]}}]})",
       "upstream_malformed"},
      {"no embeddings", Endpoint::kEmbeddings, R"({"data":[]})", "upstream_malformed"},
      {"nested choices are not choices", chat, R"({"x":{"choices":[{"message":{"content":"a"}}]}})",
       "upstream_malformed"},

      {"error inside", chat, R"({"error":{"message":"x","code":"rate_limit_exceeded"}})",
       "rate_limited"},
      {"error beside an answer", chat,
       R"({"choices":[{"message":{"content":"a"}}],"error":{"message":"x","code":503}})",
       "overloaded"},
      {"error in a choice", chat,
       R"({"choices":[{"message":{"content":"a"},"finish_reason":"error","error":{"code":502,"message":"x"}}]})",
       "upstream_error"},
      {"finish reason error", chat,
       R"({"choices":[{"message":{"content":"a"},"finish_reason":"error"}]})", "upstream_error"},
      {"status failed", chat, R"({"status":"failed","error":null,"output":[]})", "upstream_error"},
      {"error as text", chat, R"({"error":"model 'x' not found"})", "model_not_found"},
      {"flat", chat, R"({"object":"error","message":"too long","code":400})", "invalid_request"},
      {"rejected for lack of capacity", chat,
       R"({"success":false,"message":"rejected for lack of capacity"})", "overloaded"},
      {"envelope", chat, R"({"success":false,"errors":[{"code":2005,"message":"failed"}]})",
       "upstream_error"},
      {"array", chat, R"([{"error":{"code":503,"status":"UNAVAILABLE","message":"x"}}])",
       "overloaded"},
      {"text that names a status", chat, "error code: 522", "upstream_timeout"},
      {"unknown error", chat, R"({"error":{"message":"odd"}})", "upstream_error"},
  };
  for (const AnswerCase& c : cases) {
    SCOPED_TRACE(c.name);
    const auto failure = FindDialect("openai")->ClassifyReply(
        c.endpoint, {.status = 200, .headers = Headers(), .body = c.body, .received_at = {}});
    EXPECT_EQ(failure ? RuleFor(failure->kind).name : std::string_view("ok"), c.want);
    EXPECT_TRUE(!failure || ClientStatus(*failure) >= 400);
  }
}

TEST(OpenAiReplyTest, EveryTruncationOfAnAnswerIsAFailure) {
  const std::string body =
      R"({"id":"c","choices":[{"message":{"content":"\u00e9"},"finish_reason":"stop"}],"usage":{"total_tokens":3}})";
  for (size_t size = 0; size < body.size(); ++size) {
    SCOPED_TRACE(size);
    const auto failure = FindDialect("openai")->ClassifyReply(
        Endpoint::kChatCompletions, {.status = 200,
                                     .headers = Headers(),
                                     .body = std::string_view(body).substr(0, size),
                                     .received_at = {}});
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->kind, FailureKind::kUpstreamMalformed);
  }
}

struct UsageCase {
  std::string body;
  int64_t want;
};

TEST(OpenAiReplyTest, CountsTokensAsTheProviderDid) {
  const UsageCase cases[] = {
      {R"({"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":8}})", 8},
      {R"({"usage" : {"input_tokens":3,"output_tokens":4}})", 7},
      {R"({"usage":{"prompt_tokens":3,"prompt_tokens_details":{"total_tokens":99}}})", 3},
      {R"({"usage":{"total_tokens":-5}})", 0},
      {R"({"usage":{"total_tokens":1e300}})", 0},
      {R"({"usage":null})", 0},
      {R"({"usage":{)", 0},
      {R"({"choices":[{"message":{"content":"\"usage\":{\"total_tokens\":9}"}}]})", 0},
  };
  for (const UsageCase& c : cases) {
    SCOPED_TRACE(c.body);
    EXPECT_EQ(FindDialect("openai")->TokensUsed(Endpoint::kChatCompletions, c.body), c.want);
  }
}

}  // namespace
}  // namespace gateway
