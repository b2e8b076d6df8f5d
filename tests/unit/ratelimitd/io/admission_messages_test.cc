#include "ratelimitd/io/admission_messages.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

TEST(AdmissionMessagesTest, TimesAndCountsOfAnAskAreBoundedBeforeTheyAreUsed) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  struct {
    const char* name;
    int64_t attempt_timeout_ms;
    milliseconds want_timeout;
    int64_t cost_tokens;
    int64_t want_cost;
  } const cases[] = {
      {"unknown", 0, 0ms, 0, 0},
      {"usual", 600'000, 600s, 1200, 1200},
      {"least", 1, 1ms, 1, 1},
      {"negative", -1, 0ms, -1, 0},
      {"as negative as can be", kMin, 0ms, kMin, 0},
      {"more than a day", 86'400'001, 24h, 1'000'000'001, 1'000'000'000},
      {"as large as can be", kMax, 24h, kMax, 1'000'000'000},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    pb::Ask message;
    message.set_attempt_timeout_ms(c.attempt_timeout_ms);
    message.set_cost_tokens(c.cost_tokens);
    std::vector<TargetName> names;
    const Ask ask = ParseAsk(message, "gw", LeaseKind::kSession, names);
    EXPECT_EQ(ask.attempt_timeout, c.want_timeout);
    EXPECT_EQ(ask.cost_tokens, c.want_cost);
  }
}

}  // namespace
}  // namespace ratelimitd
