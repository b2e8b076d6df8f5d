#include "gateway/core/failure_reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace gateway {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

const std::vector<AttemptRecord> kNoAttempts;
const std::vector<RefusedTarget> kNoneRefused;
const std::vector<std::string> kNoSecrets;

ReplyContext MakeContext() {
  return {.request_id = "req-1",
          .target = {"near", "small"},
          .attempts = kNoAttempts,
          .refused = kNoneRefused,
          .admitted_after = std::nullopt,
          .secrets = kNoSecrets};
}

Failure MakeFailure(FailureKind kind, int upstream_status) {
  Failure failure;
  failure.kind = kind;
  failure.upstream_status = upstream_status;
  failure.message = "no luck";
  return failure;
}

std::string HeaderOf(const FailureReply& reply, std::string_view name) {
  for (const HeaderField& field : reply.headers) {
    if (field.name == name) return field.value;
  }
  return "absent";
}

struct TimingCase {
  const char* name;
  FailureKind kind;
  int upstream_status;
  std::optional<milliseconds> said;
  std::optional<milliseconds> admitted;
  std::string retry_after;
  std::string retry_after_ms;
  std::string should_retry;
};

TEST(RenderFailureTest, TellsWhenToTryAgain) {
  using enum FailureKind;
  const TimingCase cases[] = {
      {"nobody knows", kRateLimited, 429, {}, {}, "1", "1000", "true"},
      {"the provider's figure, rounded up",
       kRateLimited,
       429,
       milliseconds(1500),
       {},
       "2",
       "1500",
       "true"},
      {"what ratelimitd says goes before it", kRateLimited, 429, milliseconds(1500),
       milliseconds(2500), "3", "2500", "true"},
      {"nor does it make the provider's own wait shorter", kOverloaded, 503, milliseconds(9000),
       milliseconds(0), "9", "9000", "true"},
      {"spread by ratelimitd", kRateLimited, 429, milliseconds(60'000), milliseconds(72'500), "73",
       "72500", "true"},
      {"later than any spread", kRateLimited, 429, milliseconds(60'000), milliseconds(74'000), "74",
       "74000", "false"},
      {"admitted at once, and nobody asked for time",
       kOverloaded,
       503,
       {},
       milliseconds(0),
       "1",
       "1000",
       "true"},
      {"negative", kOverloaded, 503, milliseconds(-5), {}, "1", "1", "true"},
      {"longer than a client should wait",
       kRateLimited,
       429,
       milliseconds(60'001),
       {},
       "61",
       "60001",
       "false"},
      {"just short enough", kRateLimited, 429, milliseconds(60'000), {}, "60", "60000", "true"},
      {"quota has no wait", kQuotaExhausted, 429, milliseconds(20'000), milliseconds(9), "absent",
       "absent", "false"},
      {"credentials have none",
       kProviderAuth,
       401,
       {},
       milliseconds(9),
       "absent",
       "absent",
       "false"},
      {"a caller's mistake has none",
       kInvalidRequest,
       400,
       milliseconds(9),
       {},
       "absent",
       "absent",
       "false"},
      {"a 502 without a figure", kUpstreamUnreachable, 0, {}, {}, "absent", "absent", "true"},
      {"a 502 with one", kUpstreamUnreachable, 0, {}, milliseconds(7000), "7", "7000", "true"},
      {"absurdly long",
       kRateLimited,
       429,
       milliseconds::max(),
       {},
       "31622400",
       "31622400000",
       "false"},
  };
  for (const TimingCase& c : cases) {
    SCOPED_TRACE(c.name);
    Failure failure = MakeFailure(c.kind, c.upstream_status);
    failure.timing.retry_after = c.said;
    ReplyContext context = MakeContext();
    context.admitted_after = c.admitted;
    const FailureReply reply = RenderFailure(failure, Endpoint::kChatCompletions, context);
    EXPECT_EQ(HeaderOf(reply, "retry-after"), c.retry_after);
    EXPECT_EQ(HeaderOf(reply, "retry-after-ms"), c.retry_after_ms);
    EXPECT_EQ(HeaderOf(reply, "x-should-retry"), c.should_retry);
    EXPECT_EQ(HeaderOf(reply, "x-candor-error"), RuleFor(c.kind).name);
  }
}

TEST(RenderFailureTest, WithSeveralTargetsTheFirstToBeAdmittedCounts) {
  const std::vector<AttemptRecord> attempts(2);
  Failure failure = MakeFailure(FailureKind::kRateLimited, 429);
  failure.timing.retry_after = std::chrono::hours(3);
  const ReplyContext context{.request_id = "req-1",
                             .target = {},
                             .attempts = attempts,
                             .refused = kNoneRefused,
                             .admitted_after = milliseconds(5000),
                             .secrets = kNoSecrets};
  const FailureReply reply = RenderFailure(failure, Endpoint::kChatCompletions, context);
  EXPECT_EQ(HeaderOf(reply, "retry-after"), "5");
  EXPECT_EQ(HeaderOf(reply, "x-should-retry"), "true");
}

TEST(RenderFailureTest, TheBodyIsTheOpenAiEnvelopeWithOurOwnTruthInside) {
  const std::vector<AttemptRecord> attempts = {
      {{"far", "small"}, FailureKind::kUpstreamUnreachable, "", 0, milliseconds(12)},
      {{"off", "small"}, std::nullopt, "backoff", 0, milliseconds(0)},
      {{"near", "small"}, FailureKind::kRateLimited, "", 429, milliseconds(41)}};
  ReplyContext context{.request_id = "req-1",
                       .target = {"near", "small"},
                       .attempts = attempts,
                       .refused = kNoneRefused,
                       .admitted_after = milliseconds(20'000),
                       .secrets = kNoSecrets};
  const FailureReply reply =
      RenderFailure(MakeFailure(FailureKind::kRateLimited, 429), std::nullopt, context);
  EXPECT_EQ(reply.status, 429);
  EXPECT_EQ(json::parse(reply.body), json::parse(R"({"error":{
      "message":"no luck","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded",
      "candor":{"kind":"rate_limited","fault":"provider","provider":"near","model":"small",
        "upstream_status":429,"retry_after_ms":20000,"request_id":"req-1",
        "attempts":[
          {"provider":"far","kind":"upstream_unreachable","upstream_status":null,"duration_ms":12},
          {"provider":"near","kind":"rate_limited","upstream_status":429,"duration_ms":41}]}}})"));
  EXPECT_EQ(RenderAttempts(attempts),
            "far:upstream_unreachable:12ms, off:refused(backoff):0ms, near:rate_limited:41ms");
}

TEST(RenderFailureTest, ARejectionNamesTheTargetsThatWereRefused) {
  const std::vector<RefusedTarget> refused = {{{"near", "small"}, "breaker", milliseconds(4200)}};
  ReplyContext context{.request_id = "req-1",
                       .target = {},
                       .attempts = kNoAttempts,
                       .refused = refused,
                       .admitted_after = milliseconds(4200),
                       .secrets = kNoSecrets};
  const FailureReply reply = RenderFailure(MakeFailure(FailureKind::kNoProviderAvailable, 0),
                                           Endpoint::kChatCompletions, context);
  const json candor = json::parse(reply.body)["error"]["candor"];
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(HeaderOf(reply, "retry-after"), "5");
  EXPECT_TRUE(candor["provider"].is_null());
  EXPECT_EQ(candor["targets"], json::parse(R"([{"provider":"near","model":"small",
      "reason":"breaker","retry_after_ms":4200}])"));
}

TEST(RenderFailureTest, TheProvidersOwnFieldsStayVerbatim) {
  Failure failure = MakeFailure(FailureKind::kInvalidRequest, 400);
  failure.error_object =
      R"({"message":"no luck","type":"odd_type","param":"tools[0]","code":17,"extra":{"a":[1]}})";
  const FailureReply reply = RenderFailure(failure, Endpoint::kChatCompletions, MakeContext());
  json error = json::parse(reply.body)["error"];
  EXPECT_EQ(error.erase("candor"), 1u);
  EXPECT_EQ(error, json::parse(failure.error_object));
}

TEST(RenderFailureTest, TypeAndMessageAreAlwaysText) {
  Failure failure = MakeFailure(FailureKind::kContentFilter, 400);
  failure.error_object = R"({"message":"no luck","type":null,"code":"content_filter"})";
  const json error =
      json::parse(RenderFailure(failure, Endpoint::kChatCompletions, MakeContext()).body)["error"];
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_EQ(error["code"], "content_filter");
  EXPECT_TRUE(error.contains("param"));
}

TEST(RenderFailureTest, TheOperatorsTroubleIsNotToldInWordsThatBlameTheCaller) {
  Failure failure = MakeFailure(FailureKind::kProviderAuth, 401);
  failure.type = "invalid_request_error";
  failure.code = "invalid_api_key";
  failure.error_object =
      R"({"message":"no luck","type":"invalid_request_error","code":"invalid_api_key"})";
  const FailureReply reply = RenderFailure(failure, Endpoint::kChatCompletions, MakeContext());
  const json error = json::parse(reply.body)["error"];
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(error["code"], "provider_auth");
  EXPECT_EQ(error["type"], "server_error");
}

TEST(RenderFailureTest, NoSecretLeavesInMessageOrFields) {
  const std::vector<std::string> secrets = {"topsecret"};
  ReplyContext context{.request_id = "req-1",
                       .target = {},
                       .attempts = kNoAttempts,
                       .refused = kNoneRefused,
                       .admitted_after = std::nullopt,
                       .secrets = secrets};
  Failure failure = MakeFailure(FailureKind::kUpstreamError, 500);
  failure.message = "topsecret at http://10.0.0.1/";
  failure.error_object = R"({"message":"topsecret","type":"t","meta":{"raw":["a topsecret b"]}})";
  for (const Endpoint endpoint :
       {Endpoint::kChatCompletions, Endpoint::kMessages, Endpoint::kResponses}) {
    SCOPED_TRACE(EndpointName(endpoint));
    const std::string body = RenderFailure(failure, endpoint, context).body;
    EXPECT_EQ(body.find("topsecret"), std::string::npos) << body;
    EXPECT_EQ(body.find("10.0.0.1"), std::string::npos) << body;
    const std::string event = RenderStreamFailure(failure, endpoint, context);
    EXPECT_EQ(event.find("topsecret"), std::string::npos) << event;
  }
}

TEST(RenderFailureTest, MessagesClientsGetTheirOwnEnvelope) {
  const FailureReply reply =
      RenderFailure(MakeFailure(FailureKind::kOverloaded, 529), Endpoint::kMessages, MakeContext());
  const json body = json::parse(reply.body);
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(body["type"], "error");
  EXPECT_EQ(body["request_id"], "req-1");
  EXPECT_EQ(body["error"]["type"], "overloaded_error");
  EXPECT_EQ(body["error"]["message"], "no luck");
  EXPECT_EQ(body["error"]["candor"]["kind"], "overloaded");
}

TEST(RenderFailureTest, MessagesClientsSeeAnthropicsOwnWords) {
  Failure failure = MakeFailure(FailureKind::kRateLimited, 429);
  failure.error_object =
      R"({"type":"rate_limit_error","message":"Extra usage is required","details":{"a":1}})";
  const json error =
      json::parse(RenderFailure(failure, Endpoint::kMessages, MakeContext()).body)["error"];
  EXPECT_EQ(error["type"], "rate_limit_error");
  EXPECT_EQ(error["message"], "Extra usage is required");
  EXPECT_EQ(error.value("details", json()), json({{"a", 1}}));
  EXPECT_EQ(error["candor"]["kind"], "rate_limited");
  failure.error_object = R"({"type":null,"message":{"text":"x"}})";
  const json odd =
      json::parse(RenderFailure(failure, Endpoint::kMessages, MakeContext()).body)["error"];
  EXPECT_EQ(odd["type"], "rate_limit_error");
  EXPECT_EQ(odd["message"], "no luck");
}

struct HintCase {
  milliseconds wait;
  std::string hint;
};

TEST(RenderFailureTest, ResponsesClientsReadTheWaitOffTheMessage) {
  const HintCase cases[] = {
      {milliseconds(6), "no luck. Please try again in 6ms."},
      {milliseconds(20'000), "no luck. Please try again in 20s."},
      {milliseconds(1'001), "no luck. Please try again in 2s."},
      {milliseconds(432'000), "no luck. Please try again in 7m12s."},
      {milliseconds(4'105'000), "no luck. Please try again in 1h8m25s."},
  };
  for (const HintCase& c : cases) {
    SCOPED_TRACE(c.hint);
    Failure failure = MakeFailure(FailureKind::kRateLimited, 429);
    failure.timing.retry_after = c.wait;
    const auto message = [&](Endpoint endpoint) {
      return json::parse(RenderFailure(failure, endpoint, MakeContext()).body)["error"]["message"];
    };
    EXPECT_EQ(message(Endpoint::kResponses), c.hint);
    EXPECT_EQ(message(Endpoint::kChatCompletions), "no luck");
  }
}

TEST(RenderStreamFailureTest, ChatGetsOneErrorChunkWithoutChoicesOrEndMarker) {
  Failure failure = MakeFailure(FailureKind::kUpstreamInterrupted, 200);
  const std::string bytes = RenderStreamFailure(failure, Endpoint::kChatCompletions, MakeContext());
  ASSERT_TRUE(bytes.starts_with("data: {") && bytes.ends_with("}\n\n")) << bytes;
  const json chunk = json::parse(bytes.substr(6));
  EXPECT_EQ(chunk["error"]["status"], 502);
  EXPECT_EQ(chunk["error"]["type"], "server_error");
  EXPECT_EQ(chunk["error"]["code"], "upstream_interrupted");
  EXPECT_TRUE(chunk["error"].contains("param"));
  EXPECT_FALSE(chunk.contains("choices"));
  EXPECT_EQ(bytes.find("[DONE]"), std::string::npos);
}

TEST(RenderStreamFailureTest, ResponsesGetTheFlatAndTheNestedErrorThenFailed) {
  ReplyContext context = MakeContext();
  context.sequence_number = 7;
  context.response_id = "resp_1";
  const std::string bytes = RenderStreamFailure(MakeFailure(FailureKind::kOverloaded, 503),
                                                Endpoint::kResponses, context);
  const std::string begin = "event: error\ndata: ";
  ASSERT_TRUE(bytes.starts_with(begin));
  const size_t second = bytes.find("event: response.failed\ndata: ");
  ASSERT_NE(second, std::string::npos);
  const json error = json::parse(bytes.substr(begin.size(), second - begin.size()));
  EXPECT_EQ(error["code"], "server_is_overloaded");
  EXPECT_EQ(error["error"]["code"], "server_is_overloaded");
  EXPECT_EQ(error["sequence_number"], 7);
  const json failed = json::parse(bytes.substr(second + 29));
  EXPECT_EQ(failed["response"]["status"], "failed");
  EXPECT_EQ(failed["response"]["id"], "resp_1");
  EXPECT_EQ(failed["response"]["error"]["code"], "server_is_overloaded");
}

TEST(RenderStreamFailureTest, MessagesGetANamedErrorEvent) {
  const std::string bytes = RenderStreamFailure(MakeFailure(FailureKind::kUpstreamError, 500),
                                                Endpoint::kMessages, MakeContext());
  ASSERT_TRUE(bytes.starts_with("event: error\ndata: "));
  EXPECT_EQ(json::parse(bytes.substr(19))["error"]["type"], "api_error");
}

}  // namespace
}  // namespace gateway
