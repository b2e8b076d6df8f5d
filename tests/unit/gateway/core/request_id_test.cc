#include "gateway/core/request_id.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

TEST(RequestIdTest, IsAUuidVersion7ThatSortsByTime) {
  // The example of RFC 9562, appendix A.6.
  const common::WallTime now{std::chrono::milliseconds(0x017F22E279B0)};
  EXPECT_EQ(RenderRequestId(now, 0xCC3, 0x18C4DC0C0C07398F),
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
  EXPECT_LT(RenderRequestId(now, ~0ull, ~0ull),
            RenderRequestId(now + std::chrono::milliseconds(1), 0, 0));
}

TEST(RequestIdTest, OnlyVisibleAsciiOfModestLengthIsTaken) {
  EXPECT_TRUE(IsWellFormedRequestId("my-id_1"));
  EXPECT_TRUE(IsWellFormedRequestId(std::string(128, 'x')));
  EXPECT_FALSE(IsWellFormedRequestId(""));
  EXPECT_FALSE(IsWellFormedRequestId(std::string(129, 'x')));
  EXPECT_FALSE(IsWellFormedRequestId("has space"));
  EXPECT_FALSE(IsWellFormedRequestId("tab\t"));
  EXPECT_FALSE(IsWellFormedRequestId("\xc3\xa9"));
}

}  // namespace
}  // namespace gateway
