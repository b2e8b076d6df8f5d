#include "common/unit_text.h"

#include <gtest/gtest.h>

#include <optional>

namespace common {
namespace {

using std::chrono::milliseconds;

TEST(UnitTextTest, DurationsAreReadExactly) {
  struct Case {
    std::string_view text;
    std::optional<int64_t> want_ms;
  };
  const Case cases[] = {
      {"0", 0},
      {"0s", 0},
      {"250ms", 250},
      {"5s", 5'000},
      {"15m", 900'000},
      {"24h", 86'400'000},
      {"35d", 3'024'000'000},
      {"1h30m", 5'400'000},
      {"1d1h1m1s1ms", 90'061'001},
      {"1.5s", 1'500},
      {"0.25h", 900'000},
      {"3653d", 315'619'200'000},
      {"3653d0.5h", std::nullopt},
      {"3654d", std::nullopt},
      {"99999999999999999999999999s", std::nullopt},
      {"9223372036854775807ms", std::nullopt},
      {"1.0001s", std::nullopt},
      {"0.5ms", std::nullopt},
      {"0.0000000000000000001h", std::nullopt},
      {"", std::nullopt},
      {"5", std::nullopt},
      {"s", std::nullopt},
      {".5s", std::nullopt},
      {"5.s", std::nullopt},
      {"-5s", std::nullopt},
      {"+5s", std::nullopt},
      {" 5s", std::nullopt},
      {"5 s", std::nullopt},
      {"5S", std::nullopt},
      {"5w", std::nullopt},
      {"30m1h", std::nullopt},
      {"1s1s", std::nullopt},
      {"1e3s", std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const absl::StatusOr<milliseconds> duration = ParseDuration(c.text);
    ASSERT_EQ(duration.ok(), c.want_ms.has_value());
    if (duration.ok()) {
      EXPECT_EQ(duration->count(), *c.want_ms);
    } else {
      EXPECT_EQ(duration.status().code(), absl::StatusCode::kInvalidArgument);
    }
  }
}

TEST(UnitTextTest, RenderedDurationsAreReadBack) {
  struct Case {
    int64_t ms;
    std::string_view want;
  };
  const Case cases[] = {{0, "0s"},
                        {1, "1ms"},
                        {250, "250ms"},
                        {1'500, "1s500ms"},
                        {60'000, "1m"},
                        {5'400'000, "1h30m"},
                        {86'400'000, "1d"},
                        {900'000, "15m"},
                        {315'619'200'000, "3653d"},
                        {90'061'001, "1d1h1m1s1ms"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.want);
    const std::string text = RenderDuration(milliseconds(c.ms));
    EXPECT_EQ(text, c.want);
    const absl::StatusOr<milliseconds> back = ParseDuration(text);
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(back->count(), c.ms);
  }
}

TEST(UnitTextTest, SizesAreReadExactly) {
  struct Case {
    std::string_view text;
    std::optional<int64_t> want;
  };
  const Case cases[] = {
      {"0", 0},
      {"512", 512},
      {"16KiB", 16'384},
      {"32MiB", 33'554'432},
      {"1GiB", 1'073'741'824},
      {"1KB", 1'000},
      {"2MB", 2'000'000},
      {"3GB", 3'000'000'000},
      {"4611686018427387904", int64_t{1} << 62},
      {"4611686018427387905", std::nullopt},
      {"4294967296GiB", int64_t{1} << 62},
      {"4294967297GiB", std::nullopt},
      {"99999999999999999999999", std::nullopt},
      {"", std::nullopt},
      {"KiB", std::nullopt},
      {"-1", std::nullopt},
      {"1.5MiB", std::nullopt},
      {"1 MiB", std::nullopt},
      {"1mib", std::nullopt},
      {"1TiB", std::nullopt},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    const absl::StatusOr<int64_t> size = ParseByteSize(c.text);
    ASSERT_EQ(size.ok(), c.want.has_value());
    if (size.ok()) {
      EXPECT_EQ(*size, *c.want);
    }
  }
}

}  // namespace
}  // namespace common
