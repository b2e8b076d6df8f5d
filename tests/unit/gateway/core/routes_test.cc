#include "gateway/core/routes.h"

#include <gtest/gtest.h>

#include <map>

namespace gateway {
namespace {

RouteTarget Target(const std::string& provider, int64_t priority, int64_t weight) {
  RouteTarget target;
  target.target = {provider, "m"};
  target.priority = priority;
  target.weight = weight;
  return target;
}

std::vector<std::string> Names(const std::vector<const RouteTarget*>& targets) {
  std::vector<std::string> names;
  for (const RouteTarget* target : targets) names.push_back(target->target.provider);
  return names;
}

TEST(OrderTargetsTest, WithoutWeightsTargetsKeepTheirOrder) {
  const Route route{"m", {Target("a", 0, 0), Target("b", 0, 0), Target("c", 1, 0)}};
  for (const double chance : {0.0, 0.5, 0.999}) {
    EXPECT_EQ(Names(OrderTargets(route, chance)), (std::vector<std::string>{"a", "b", "c"}));
  }
}

TEST(OrderTargetsTest, WeightsShareTheLoadWithinAPriorityOnly) {
  const Route route{"m", {Target("a", 0, 3), Target("b", 0, 1), Target("last", 1, 100)}};
  std::map<std::string, int> first;
  for (int i = 0; i < 1000; ++i) {
    const auto names = Names(OrderTargets(route, i / 1000.0));
    ++first[names[0]];
    EXPECT_EQ(names[2], "last");
  }
  EXPECT_EQ(first["a"], 750);
  EXPECT_EQ(first["b"], 250);
}

TEST(OrderTargetsTest, EveryTargetComesExactlyOnce) {
  const Route route{"m", {Target("a", 0, 1), Target("b", 0, 5), Target("c", 0, 2)}};
  for (int i = 0; i < 100; ++i) {
    auto names = Names(OrderTargets(route, i / 100.0));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"a", "b", "c"}));
  }
}

TEST(MatchesGlobTest, Table) {
  struct Case {
    const char* pattern;
    const char* text;
    bool want;
  };
  const Case cases[] = {
      {"gpt-*", "gpt-4o", true},  {"gpt-*", "gpt-", true},
      {"gpt-*", "claude", false}, {"*", "", true},
      {"*", "anything", true},    {"a?c", "abc", true},
      {"a?c", "ac", false},       {"*-mini", "gpt-4o-mini", true},
      {"*-mini", "mini", false},  {"a*b*c", "a-b-b-c", true},
      {"a*b*c", "a-c", false},    {"", "", true},
      {"", "x", false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.pattern) + " ~ " + c.text);
    EXPECT_EQ(MatchesGlob(c.pattern, c.text), c.want);
  }
}

TEST(KeyHashTest, HexTextIsTheHashOfTheKey) {
  // printf %s secret | sha256sum
  const auto parsed =
      ParseKeyHash("2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, HashKey("secret"));
}

TEST(KeyHashTest, AnythingElseIsRefused) {
  EXPECT_EQ(ParseKeyHash(""), std::nullopt);
  EXPECT_EQ(ParseKeyHash("2bb8"), std::nullopt);
  EXPECT_EQ(ParseKeyHash(std::string(64, 'g')), std::nullopt);
}

TEST(RoutesTest, FindsModelsAndClients) {
  ClientEntry client{"team-a", HashKey("key-a"), {"gpt-*"}, {}};
  const Routes routes({{"gpt-4o", {Target("a", 0, 0)}}}, {client});
  ASSERT_NE(routes.Find("gpt-4o"), nullptr);
  EXPECT_EQ(routes.Find("gpt-4"), nullptr);
  ASSERT_NE(routes.Authenticate("key-a"), nullptr);
  EXPECT_EQ(routes.Authenticate("key-b"), nullptr);
  EXPECT_FALSE(routes.IsOpen());
  EXPECT_TRUE(MayUse(client, "gpt-4o"));
  EXPECT_FALSE(MayUse(client, "claude"));
}

}  // namespace
}  // namespace gateway
