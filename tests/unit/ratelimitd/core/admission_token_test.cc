#include "ratelimitd/core/admission_token.h"

#include <gtest/gtest.h>

#include <limits>

namespace ratelimitd {
namespace {

TEST(AdmissionTokenTest, ParsesBackToTheSame) {
  const uint64_t numbers[] = {0, 1, 127, 128, 300, std::numeric_limits<uint64_t>::max()};
  for (const uint64_t id : numbers) {
    for (const uint64_t order : numbers) {
      const auto parsed = ParseToken(
          RenderToken({.life = 0xdeadbeef, .target_id = id, .order = order, .lease_id = id}));
      ASSERT_TRUE(parsed.has_value());
      EXPECT_EQ(parsed->life, 0xdeadbeef);
      EXPECT_EQ(parsed->target_id, id);
      EXPECT_EQ(parsed->order, order);
      EXPECT_EQ(parsed->lease_id, id);
    }
  }
}

TEST(AdmissionTokenTest, IsSmallInPractice) {
  EXPECT_LE(RenderToken({.life = 1, .target_id = 20'000, .order = 100'000'000}).size(), 15u)
      << "no allocation";
}

TEST(AdmissionTokenTest, EveryCutAndGarbageIsRefused) {
  const std::string whole = RenderToken({.life = 7, .target_id = 300, .order = 70'000});
  for (size_t cut = 0; cut < whole.size(); ++cut) {
    EXPECT_FALSE(ParseToken(whole.substr(0, cut)).has_value()) << cut;
  }
  EXPECT_FALSE(ParseToken(whole + "x").has_value());
  EXPECT_FALSE(ParseToken(std::string(30, '\xff')).has_value());
  EXPECT_FALSE(ParseToken(RenderToken({.life = 7, .cost_tokens = uint64_t{1} << 63})).has_value());
}

}  // namespace
}  // namespace ratelimitd
