#include "gateway/core/time_text.h"

#include <gtest/gtest.h>

#include <string>

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

TEST(ParseResetTest, TellsMomentsFromSeconds) {
  const NumberCase cases[] = {
      {"2026-01-01T00:00:20Z", 20'000},
      {"1767225620000", 20'000},
      {"1767225620", 20'000},
      {"20", 20'000},
      {"1767225000", 0},
      {"99999999999", kNothing},
      {"20s", kNothing},
      {"", kNothing},
  };
  for (const NumberCase& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(Count(ParseReset(c.text, kNow)), c.want_ms);
  }
}

}  // namespace
}  // namespace gateway
