#include "common/nearest_name.h"

#include <gtest/gtest.h>

namespace common {
namespace {

TEST(NearestNameTest, TheOneMostAlikeIsFoundOrNone) {
  const std::vector<std::string> known = {"name", "targets", "max_connections", "max_client_wait"};
  struct Case {
    std::string_view name;
    std::string_view want;
  };
  const Case cases[] = {
      {"nmae", "name"},
      {"Name", "name"},
      {"target", "targets"},
      {"max_conections", "max_connections"},
      {"max-client-wait", "max_client_wait"},
      {"name", "name"},
      {"zzzzzz", ""},
      {"", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(NearestName(c.name, known), c.want);
  }
  EXPECT_EQ(NearestName("name", {}), "");
  EXPECT_EQ(NearestName(std::string(1 << 20, 'n'), known), "");
}

}  // namespace
}  // namespace common
