#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace ratelimitd {
namespace {

using candor_test::Fleet;
using namespace std::chrono_literals;

std::vector<std::string> Names(const TableExcerpt& excerpt) {
  std::vector<std::string> names;
  for (const HealthView& view : excerpt.views) names.push_back(view.provider + "/" + view.model);
  std::sort(names.begin(), names.end());
  return names;
}

size_t CountOf(const TableExcerpt& excerpt, HealthState state) {
  return excerpt.targets_by_state[static_cast<size_t>(state)];
}

class TargetTableExcerptTest : public testing::Test {
 protected:
  // azure/a backs off, all of gemini is blocked, the rest is healthy.
  TargetTableExcerptTest() : fleet_({.providers = {{"unasked", {}}}}) {
    fleet_.Ask({{"openai", "gpt-4o"}});
    fleet_.Ask({{"openai", "o3"}});
    fleet_.ReportLimit(fleet_.Ask({{"azure", "a"}}), 60s);
    fleet_.Report(fleet_.Ask({{"gemini", "pro"}}), OutcomeKind::kQuotaExhausted);
  }
  TableExcerpt Excerpt(std::string_view filter, size_t most) {
    return fleet_.table.Excerpt(filter, most, fleet_.Now());
  }

  Fleet fleet_;
};

TEST_F(TargetTableExcerptTest, EverythingIsCountedByTheStateInWhichItIsAsked) {
  const TableExcerpt all = Excerpt("", 100);
  EXPECT_EQ(Names(all),
            (std::vector<std::string>{"azure/", "azure/a", "gemini/", "gemini/pro", "openai/",
                                      "openai/gpt-4o", "openai/o3", "unasked/"}));
  EXPECT_EQ(CountOf(all, HealthState::kHealthy), 3u);
  EXPECT_EQ(CountOf(all, HealthState::kBackingOff), 1u);
  EXPECT_EQ(CountOf(all, HealthState::kBlocked), 1u);
  EXPECT_EQ(all.providers, 4u);
  EXPECT_EQ(all.targets_left_out, 0u);
}

TEST_F(TargetTableExcerptTest, TheMostSeriousOnesAreShownWithTheirProviders) {
  const TableExcerpt worst = Excerpt("", 2);
  EXPECT_EQ(Names(worst), (std::vector<std::string>{"azure/", "azure/a", "gemini/", "gemini/pro"}));
  EXPECT_EQ(worst.targets_left_out, 3u);
  EXPECT_EQ(CountOf(worst, HealthState::kHealthy), 3u);
  EXPECT_EQ(Names(Excerpt("", 3))[4], "openai/") << "by name where they are equal";
}

TEST_F(TargetTableExcerptTest, AFilterFindsNamesInEitherCase) {
  struct Case {
    std::string_view filter;
    std::vector<std::string> want;
  };
  const Case cases[] = {
      {"GPT", {"openai/", "openai/gpt-4o"}},
      {"openai/o", {"openai/", "openai/o3"}},
      {"zure", {"azure/", "azure/a"}},
      {"nask", {"unasked/"}},
      {"nothing", {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.filter);
    EXPECT_EQ(Names(Excerpt(c.filter, 100)), c.want);
  }
}

TEST_F(TargetTableExcerptTest, TheVersionTellsWhetherAnythingIsNew) {
  const uint64_t before = Excerpt("", 100).version;
  EXPECT_EQ(Excerpt("", 100).version, before);
  fleet_.Wait(61s);
  EXPECT_GT(Excerpt("", 100).version, before) << "time alone has ended the backoff";
}

TEST_F(TargetTableExcerptTest, LimitsStandWithTheirProvider) {
  TableSettings settings;
  settings.providers["openai"].limits = {.requests_per_minute = 10, .concurrent = 3};
  Fleet limited(settings);
  limited.Ask({{"openai", "gpt"}});
  for (const HealthView& view : limited.table.Excerpt("", 10, limited.Now()).views) {
    ASSERT_EQ(view.limits.has_value(), view.model.empty());
    if (!view.limits) continue;
    EXPECT_EQ(view.limits->left.requests.remaining, 9);
    EXPECT_EQ(view.limits->settings.concurrent, 3);
    EXPECT_EQ(view.limits->running, 1);
  }
}

}  // namespace
}  // namespace ratelimitd
