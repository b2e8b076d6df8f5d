#include "gateway/core/retry_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "gateway/core/time_text.h"

namespace gateway {
namespace {

using common::WallTime;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Thu, 01 Jan 2026 00:00:00 GMT
constexpr WallTime kNow{seconds(1'767'225'600)};
constexpr int64_t kNothing = -1;

int64_t Count(std::optional<milliseconds> wait) { return wait ? wait->count() : kNothing; }

struct ReadCase {
  const char* name;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  int64_t want_ms;
};

void CheckRead(const ReadCase& c) {
  SCOPED_TRACE(c.name);
  Headers headers;
  for (const auto& [name, value] : c.headers) headers.Add(name, value);
  EXPECT_EQ(Count(ReadRetryTiming(headers, ReadErrorBody(c.body), kNow).retry_after), c.want_ms);
}

constexpr char kDate[] = "Thu, 01 Jan 2026 00:00:10 GMT";

TEST(ReadRetryTimingTest, HeadersSayItFirst) {
  const ReadCase cases[] = {
      {"nothing", {}, "", kNothing},
      {"seconds", {{"Retry-After", "7"}}, "", 7000},
      {"milliseconds", {{"retry-after-ms", "250"}}, "", 250},
      {"the larger of both", {{"retry-after", "1"}, {"retry-after-ms", "0"}}, "", 1000},
      {"the valid one of both", {{"retry-after", "soon"}, {"retry-after-ms", "40"}}, "", 40},
      {"zero", {{"retry-after", "0"}}, "", 0},
      {"a date against the response's own date",
       {{"date", kDate}, {"retry-after", "Thu, 01 Jan 2026 00:00:40 GMT"}},
       "",
       30'000},
      {"a date against our clock", {{"retry-after", "Thu, 01 Jan 2026 00:00:40 GMT"}}, "", 40'000},
      {"a date in the past means now", {{"retry-after", "Thu, 01 Jan 2015 00:00:40 GMT"}}, "", 0},
      {"negative", {{"retry-after", "-1"}}, "", kNothing},
      {"no number", {{"retry-after", "NaN"}}, "", kNothing},
      {"empty", {{"retry-after", ""}}, "", kNothing},
      {"year 9999", {{"retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"}}, "", kNothing},
      {"beyond a year", {{"retry-after", "99999999"}}, "", kNothing},
      {"two headers", {{"retry-after", "5"}, {"retry-after", "10"}}, "", kNothing},
      {"two values in one", {{"retry-after", "5, 10"}}, "", kNothing},
      {"absurd header, honest text",
       {{"retry-after", "-1"}},
       R"({"error":{"message":"try again in 3s"}})",
       3000},
      {"header before text",
       {{"retry-after", "5"}},
       R"({"error":{"message":"try again in 30s"}})",
       5000},
  };
  for (const ReadCase& c : cases) CheckRead(c);
}

TEST(ReadRetryTimingTest, ThenFieldsOfTheBody) {
  const ReadCase cases[] = {
      {"retry info, cut to whole seconds, and the text",
       {},
       R"({"error":{"message":"Please retry in 9.25s.","details":[
         {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"9s"}]}})",
       9250},
      {"retry info alone",
       {},
       R"([{"error":{"code":429,"details":[{"@type":"x/google.rpc.RetryInfo","retryDelay":"0.5s"}]}}])",
       500},
      {"metadata of an error info",
       {},
       R"({"error":{"message":"reset after 0s","details":[{"metadata":{"quotaResetDelay":"81.2ms"}}]}})",
       82},
      {"estimate of a cold model", {}, R"({"error":"loading","estimated_time":12.0004})", 12'001},
      {"problem", {}, R"({"title":"Timed out","status":524,"retry_after":120})", 120'000},
      {"negative field", {}, R"({"error":"loading","estimated_time":-1})", kNothing},
      {"absurd field", {}, R"({"error":"loading","estimated_time":1e300})", kNothing},
      {"headers that a relay copied",
       {{"date", kDate}},
       R"({"error":{"message":"x","metadata":{"headers":{
          "X-RateLimit-Remaining":"0","X-RateLimit-Reset":"1767225640000"}}}})",
       30'000},
      {"moment of a plan's reset",
       {},
       R"({"error":{"type":"usage_limit_reached","resets_at":1767225700}})",
       100'000},
  };
  for (const ReadCase& c : cases) CheckRead(c);
}

TEST(ReadRetryTimingTest, ThenResetsOfEmptyBuckets) {
  const ReadCase cases[] = {
      {"rfc 3339",
       {{"date", kDate},
        {"anthropic-ratelimit-requests-remaining", "5"},
        {"anthropic-ratelimit-requests-reset", "2026-01-01T00:10:00Z"},
        {"anthropic-ratelimit-input-tokens-remaining", "0"},
        {"anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:25Z"}},
       "",
       15'000},
      {"a reset before the answer",
       {{"date", kDate},
        {"anthropic-ratelimit-tokens-remaining", "0"},
        {"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:00Z"}},
       "",
       0},
      {"epoch milliseconds",
       {{"date", kDate}, {"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1767225640000"}},
       "",
       30'000},
      {"epoch seconds",
       {{"date", kDate}, {"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1767225640"}},
       "",
       30'000},
      {"delta seconds", {{"ratelimit-remaining", "0"}, {"ratelimit-reset", "19"}}, "", 19'000},
      {"by size",
       {{"ratelimitbysize-remaining", "0"}, {"ratelimitbysize-reset", "21"}},
       "",
       21'000},
      {"structured field", {{"ratelimit", R"("api";r=0;t=70)"}}, "", 70'000},
      {"structured fields of several buckets",
       {{"ratelimit", R"("a";r=5;t=900, "b";r=0;t=7)"}},
       "",
       7000},
      {"something remains",
       {{"x-ratelimit-remaining", "1"}, {"x-ratelimit-reset", "9"}},
       "",
       kNothing},
      {"above the limit",
       {{"x-ratelimit-remaining", "9223372036854767616"}, {"x-ratelimit-reset", "9"}},
       "",
       kNothing},
      {"a reset until full is no wait",
       {{"x-ratelimit-remaining-requests", "0"}, {"x-ratelimit-reset-requests", "19m29.225s"}},
       "",
       kNothing},
      {"bare numbers of unknown unit",
       {{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "500"}},
       "",
       kNothing},
      {"text at last",
       {{"x-ratelimit-remaining-requests", "0"}},
       R"({"error":{"message":"Please try again in 8.64s"}})",
       8640},
  };
  for (const ReadCase& c : cases) CheckRead(c);
}

TEST(ReadRetryTimingTest, ALimitIsTheModelsUnlessTheProviderSaysItIsTheAccounts) {
  const auto google = [](std::string_view quota_id) {
    return R"({"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED","details":[
        {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":")" +
           std::string(quota_id) + R"("}]}]}})";
  };
  const auto openai = [](std::string_view message) {
    return R"({"error":{"message":")" + std::string(message) +
           R"(","code":"rate_limit_exceeded"}})";
  };
  struct {
    const char* name;
    std::string body;
    LimitScope want;
  } const cases[] = {
      {"nothing said", "", LimitScope::kTarget},
      {"a model's quota", google("RequestsPerMinutePerProjectPerModel"), LimitScope::kTarget},
      {"a base model's quota", google("online_prediction_requests_per_base_model"),
       LimitScope::kTarget},
      {"a project's quota", google("RequestsPerMinutePerProject"), LimitScope::kProvider},
      {"a model in an organization", openai("Rate limit reached for m-1 in organization org-1"),
       LimitScope::kTarget},
      {"the account", openai("Too many concurrent requests for your account."),
       LimitScope::kProvider},
      {"the account's share of a model", openai("Your account may ask this model twice a minute."),
       LimitScope::kTarget},
      {"the organization's concurrency",
       openai("Your account org-1 request reached max organization concurrency: 3"),
       LimitScope::kProvider},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(ReadRetryTiming(Headers(), ReadErrorBody(c.body), kNow).scope, c.want);
  }
}

TEST(ReadRetryTimingTest, EveryPrefixOfEveryGrammarIsReadWithoutHarm) {
  for (const std::string text :
       {"83h10m39.057s", "Thursday, 01-Jan-26 00:00:20 GMT", "Thu Jan  1 00:00:20 2026",
        "2026-01-01T00:00:20.123456789+02:00", "try again in 1 hour and 5 minutes 3.5 s",
        "\"a\";r=0;t=70, \"b\";r=0;t=7"}) {
    for (size_t size = 0; size <= text.size(); ++size) {
      const std::string prefix = text.substr(0, size);
      Headers headers;
      headers.Add("retry-after", prefix);
      headers.Add("ratelimit", prefix);
      headers.Add("date", prefix);
      const auto wait = ReadRetryTiming(headers, ReadErrorBody(prefix), kNow).retry_after;
      EXPECT_TRUE(!wait || (*wait >= milliseconds(0) && *wait <= kMaxPlausibleWait)) << prefix;
      EXPECT_TRUE(!ParseGoDuration(prefix) || *ParseGoDuration(prefix) <= kMaxPlausibleWait);
      EXPECT_TRUE(!ParseRfc3339(prefix) || prefix.size() >= 20);
    }
  }
}

}  // namespace
}  // namespace gateway
