#include "gateway/core/reply_head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gateway {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

ReplyHead Success() {
  ReplyHead head;
  head.content_length = 12;
  head.endpoint = Endpoint::kChatCompletions;
  head.request_id = "id-1";
  head.latency = std::chrono::milliseconds(41);
  head.overhead = std::chrono::milliseconds(2);
  return head;
}

TEST(ReplyHeadTest, EveryReplySaysWhoAnsweredAndHowLongItTook) {
  const common::Target target{"openai", "gpt-4o-mini"};
  const std::vector<AttemptRecord> attempts{
      {target, std::nullopt, "", 200, std::chrono::milliseconds(39)}};
  ReplyHead head = Success();
  head.target = &target;
  head.attempts = &attempts;
  head.upstream_request_id = "req-9";
  const std::string text = RenderReplyHead(head, {{"x-ratelimit-limit-requests", "60"}});
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(text, HasSubstr("content-length: 12\r\n"));
  EXPECT_THAT(text, HasSubstr("x-request-id: id-1\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-provider: openai\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-model: gpt-4o-mini\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-attempts: openai:ok:39ms\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-latency-ms: 41\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-overhead-ms: 2\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-upstream-request-id: req-9\r\n"));
  EXPECT_THAT(text, HasSubstr("x-ratelimit-limit-requests: 60\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("x-candor-degraded")));
  EXPECT_THAT(text, EndsWith("\r\n\r\n"));
}

TEST(ReplyHeadTest, NobodyAskedIsNone) {
  const std::string text = RenderReplyHead(Success(), {});
  EXPECT_THAT(text, HasSubstr("x-candor-provider: none\r\n"));
  EXPECT_THAT(text, HasSubstr("x-candor-model: none\r\n"));
}

TEST(ReplyHeadTest, AnthropicClientsReadRequestId) {
  ReplyHead head = Success();
  EXPECT_THAT(RenderReplyHead(head, {}), Not(HasSubstr("\r\nrequest-id: ")));
  head.endpoint = Endpoint::kMessages;
  EXPECT_THAT(RenderReplyHead(head, {}), HasSubstr("\r\nrequest-id: id-1\r\n"));
}

TEST(ReplyHeadTest, AStreamIsChunkedButNotForHttp10) {
  ReplyHead head = Success();
  head.content_length = std::nullopt;
  EXPECT_THAT(RenderReplyHead(head, {}), HasSubstr("transfer-encoding: chunked\r\n"));
  head.http_minor = 0;
  head.after = AfterReply::kClose;
  EXPECT_THAT(RenderReplyHead(head, {}), Not(HasSubstr("chunked")));
  EXPECT_THAT(RenderReplyHead(head, {}), HasSubstr("connection: close\r\n"));
}

TEST(ReplyHeadTest, AValueCannotForgeAHeader) {
  ReplyHead head = Success();
  const common::Target target{"p", "model\r\nset-cookie: a=b"};
  head.target = &target;
  const std::string text = RenderReplyHead(head, {{"x-ratelimit-x", "1\nforged: 2"}});
  EXPECT_THAT(text, Not(HasSubstr("\nset-cookie")));
  EXPECT_THAT(text, Not(HasSubstr("\nforged")));
}

TEST(PassedOnHeadersTest, RateLimitsPassAndEverythingElseIsDropped) {
  Headers headers;
  headers.Add("X-RateLimit-Remaining-Requests", "59");
  headers.Add("anthropic-ratelimit-tokens-limit", "1000");
  headers.Add("openai-processing-ms", "12");
  headers.Add("retry-after", "4");
  headers.Add("openai-organization", "the-operator");
  headers.Add("set-cookie", "a=b");
  const auto passed_on = PassedOnHeaders(headers);
  ASSERT_EQ(passed_on.size(), 3u);
  EXPECT_EQ(passed_on[0].name, "x-ratelimit-remaining-requests");
  EXPECT_EQ(passed_on[1].name, "anthropic-ratelimit-tokens-limit");
  EXPECT_EQ(passed_on[2].name, "openai-processing-ms");
}

}  // namespace
}  // namespace gateway
