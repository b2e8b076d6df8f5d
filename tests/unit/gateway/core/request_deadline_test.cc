#include "gateway/core/request_deadline.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

using std::chrono::milliseconds;

Headers With(std::initializer_list<std::string_view> values) {
  Headers headers;
  for (const std::string_view value : values) headers.Add("X-Candor-Timeout-Ms", value);
  return headers;
}

TEST(RequestDeadlineTest, NoHeaderMeansNoDeadline) {
  EXPECT_EQ(std::get<0>(ParseTimeout(With({}))), std::nullopt);
}

TEST(RequestDeadlineTest, ReadsWholeMilliseconds) {
  struct {
    std::string_view text;
    milliseconds want;
  } const cases[] = {
      {"1", milliseconds(1)},
      {"1500", milliseconds(1500)},
      {"007", milliseconds(7)},
      {"86400000", kLongestTimeout},
      {"86400001", kLongestTimeout},
      {"18446744073709551617", kLongestTimeout},
      {"99999999999999999999999999999999999999", kLongestTimeout},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    EXPECT_EQ(std::get<0>(ParseTimeout(With({c.text}))), c.want);
  }
}

TEST(RequestDeadlineTest, AnythingElseIsABadRequestThatNamesTheHeader) {
  const std::initializer_list<std::string_view> cases[] = {
      {""},   {"0"},   {"000"},  {"-1"},  {"+1"},         {"1.5"},
      {"1s"}, {"1 0"}, {"0x10"}, {"1e3"}, {"100", "200"}, {"100", "100"}};
  for (const auto& values : cases) {
    SCOPED_TRACE(values.begin()->data());
    const auto parsed = ParseTimeout(With(values));
    ASSERT_TRUE(std::holds_alternative<Failure>(parsed));
    EXPECT_EQ(std::get<Failure>(parsed).kind, FailureKind::kBadRequest);
    EXPECT_NE(std::get<Failure>(parsed).message.find("x-candor-timeout-ms"), std::string::npos);
  }
}

}  // namespace
}  // namespace gateway
