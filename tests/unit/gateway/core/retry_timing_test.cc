#include "gateway/core/retry_timing.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace gateway {
namespace {

using common::WallTime;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Thu, 01 Jan 2026 00:00:00 GMT
constexpr WallTime kNow{seconds(1'767'225'600)};
constexpr int64_t kNothing = -1;

int64_t Count(std::optional<milliseconds> wait) { return wait ? wait->count() : kNothing; }

struct NumberCase {
  std::string text;
  int64_t want_ms;
};

TEST(ParseSecondsTest, TakesPlainNumbersOnly) {
  const NumberCase cases[] = {
      {"0", 0},
      {"19", 19'000},
      {" 2 ", 2000},
      {"1.5", 1500},
      {"0.0001", 1},
      {"31622400", 31'622'400'000},
      {"31622401", kNothing},
      {"9223372036854775807", kNothing},
      {"99999999999999999999999", kNothing},
      {"", kNothing},
      {" ", kNothing},
      {"-5", kNothing},
      {"+5", kNothing},
      {"NaN", kNothing},
      {"inf", kNothing},
      {"1e3", kNothing},
      {"0x10", kNothing},
      {"5, 10", kNothing},
      {"5 s", kNothing},
      {".5", kNothing},
      {"5.", kNothing},
  };
  for (const NumberCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(Count(ParseSeconds(c.text)), c.want_ms);
  }
  EXPECT_EQ(Count(ParseMilliseconds("172.799")), 173);
  EXPECT_EQ(Count(ParseMilliseconds("31622400001")), kNothing);
}

TEST(ParseGoDurationTest, TakesFallingUnitsEachOnce) {
  const NumberCase cases[] = {
      {"6ms", 6},
      {"0s", 0},
      {"8.64s", 8640},
      {"7m12s", 432'000},
      {"1h8m25.745s", 4'105'745},
      {"83h10m39.057s", 299'439'057},
      {"172.799999ms", 173},
      {"17.399999999s", 17'400},
      {"0.479417207s", 480},
      {"1.0000000000001s", 1001},
      {"2d", 172'800'000},
      {"5us", 1},
      {"1h5ms", 3'600'005},
      {"366d", 31'622'400'000},
      {"367d", kNothing},
      {"200d200d", kNothing},
      {"12s7m", kNothing},
      {"1s1s", kNothing},
      {"1.5h3m", kNothing},
      {"5", kNothing},
      {"s", kNothing},
      {"", kNothing},
      {"-1s", kNothing},
      {"1 s", kNothing},
      {"1y", kNothing},
      {"99999999999999999h", kNothing},
      {"366d24h", kNothing},
  };
  for (const NumberCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(Count(ParseGoDuration(c.text)), c.want_ms);
  }
}

struct MomentCase {
  std::string text;
  int64_t want_epoch_ms;
};

int64_t EpochMs(std::optional<WallTime> moment) {
  if (!moment) return kNothing;
  return std::chrono::duration_cast<milliseconds>(moment->time_since_epoch()).count();
}

TEST(ParseHttpDateTest, TakesTheThreeFormsOfTheStandard) {
  const MomentCase cases[] = {
      {"Thu, 01 Jan 2026 00:00:20 GMT", 1'767'225'620'000},
      {"Thursday, 01-Jan-26 00:00:20 GMT", 1'767'225'620'000},
      {"Thu Jan  1 00:00:20 2026", 1'767'225'620'000},
      {"Thu Jan 15 00:00:20 2026", 1'768'435'220'000},
      {"Thu, 01 Jan 2026 00:00:20", kNothing},
      {"Thu, 31 Feb 2026 00:00:20 GMT", kNothing},
      {"Thu, 01 Foo 2026 00:00:20 GMT", kNothing},
      {"Thu, 01 anF 2026 00:00:20 GMT", kNothing},
      {"Thu, 01 Jan 2026 24:00:20 GMT", kNothing},
      {"Fri, 31 Dec 9999 23:59:59 GMT", kNothing},
      {"Thu, 01 Jan 0001 00:00:20 GMT", kNothing},
      {"tomorrow", kNothing},
      {"", kNothing},
  };
  for (const MomentCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(EpochMs(ParseHttpDate(c.text)), c.want_epoch_ms);
  }
}

TEST(ParseRfc3339Test, TakesUtcAndOffsets) {
  const MomentCase cases[] = {
      {"2026-01-01T00:00:20Z", 1'767'225'620'000},
      {"2026-01-01T00:00:20.25Z", 1'767'225'620'250},
      {"2026-01-01T02:00:20+02:00", 1'767'225'620'000},
      {"2025-12-31T19:00:20-05:00", 1'767'225'620'000},
      {"2026-01-01T00:00:20", kNothing},
      {"2026-01-01", kNothing},
      {"2026-13-01T00:00:20Z", kNothing},
      {"2026-01-01T00:00:20.Z", kNothing},
      {"2026-01-01T00:00:20Zx", kNothing},
      {"9999-12-31T23:59:59Z", kNothing},
      {"", kNothing},
  };
  for (const MomentCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(EpochMs(ParseRfc3339(c.text)), c.want_epoch_ms);
  }
}

TEST(ParseWaitInTextTest, TakesTheWaitThatAMessageNames) {
  const NumberCase cases[] = {
      {"please try again in 6ms.", 6},
      {"please try again in 20s. visit https://example.com", 20'000},
      {"try again in 7m12s", 432'000},
      {"try again in 1m47.5854s.", 107'586},
      {"try again in 114h18m0s", 411'480'000},
      {"please retry after 26 seconds.", 26'000},
      {"please retry after 1 second", 1000},
      {"retry after 86400 seconds", 86'400'000},
      {"please retry in 48.939935699s.", 48'940},
      {"quota will reset after 3h41m", 13'260'000},
      {"try again in 1 minute, 30 seconds", 90'000},
      {"try again in 1 hour and 5 minutes", 3'900'000},
      {"try again in about 5 minutes", 300'000},
      {"try again in 2s or try again in 9s", 9000},
      {"you will regain access on 2026-01-02 at 00:00 utc", 86'400'000},
      {"access on 2026-01-02", 86'400'000},
      {"resets at 2026-01-01t00:00:20z", 20'000},
      {"resets at 2025-01-01t00:00:20z", 0},
      {"try again in 5 attempts", kNothing},
      {"try again in 5", kNothing},
      {"try again later", kNothing},
      {"try again in -5s", kNothing},
      {"try again in 99999999999999999999s", kNothing},
      {"try again in 9999999999 hours", kNothing},
      {"access on 9999-12-31 at 00:00 utc", kNothing},
      {"limited to 1 requests per minute. please retry shortly.", kNothing},
      {"", kNothing},
  };
  for (const NumberCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(Count(ParseWaitInText(c.text, kNow)), c.want_ms);
  }
}

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
