#include "gateway/core/client_limits.h"

#include <gtest/gtest.h>

#include <string>

#include "gateway/core/time_text.h"

namespace gateway {
namespace {

using namespace std::chrono_literals;

TEST(LimitHeadersTest, HeadersAreOpenAisAndLeaveUnlimitedOnesOut) {
  const ClientLimitStatus status{.requests = {600, 599, 100ms}, .tokens = {}};
  std::string text;
  for (const HeaderField& field : RenderLimitHeaders(status)) {
    text += field.name + ": " + field.value + "\n";
  }
  EXPECT_EQ(text,
            "x-ratelimit-limit-requests: 600\n"
            "x-ratelimit-remaining-requests: 599\n"
            "x-ratelimit-reset-requests: 100ms\n");
}

TEST(LimitHeadersTest, AnEstimateNeverRoundsToNothing) {
  EXPECT_EQ(EstimateTokens(0), 0);
  EXPECT_EQ(EstimateTokens(1), 1);
  EXPECT_EQ(EstimateTokens(400), 100);
}

TEST(TimeTextTest, DurationsReadBackAsWhatTheySay) {
  for (const auto wait : {0ms, 1ms, 999ms, 1000ms, 59'000ms, 60'000ms, 432'000ms, 3'605'000ms}) {
    EXPECT_EQ(ParseGoDuration(RenderUnitDuration(wait)), wait) << RenderUnitDuration(wait);
  }
  EXPECT_EQ(RenderUnitDuration(1001ms), "2s");
  EXPECT_EQ(RenderUnitDuration(360s), "6m0s");
  EXPECT_EQ(RenderUnitDuration(-5ms), "0ms");
}

}  // namespace
}  // namespace gateway
