#include "ratelimitd/io/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/concat.h"

namespace ratelimitd {
namespace {

using common::Concat;
using testing::HasSubstr;
using testing::Not;

std::string Series(std::string_view provider, std::string_view state, int value) {
  return Concat("candor_ratelimitd_provider_state{provider=\"", provider, "\",state=\"", state,
                "\"} ", value, "\n");
}

TEST(MetricsTest, AProviderHasOneStateAtATime) {
  Metrics metrics;
  std::string page = metrics.Render({.provider_states = {{"openai", HealthState::kOpen}}});
  EXPECT_THAT(page, HasSubstr(Series("openai", "open", 1)));
  EXPECT_THAT(page, HasSubstr(Series("openai", "healthy", 0)));
  page = metrics.Render({.provider_states = {{"openai", HealthState::kHealthy}}});
  EXPECT_THAT(page, HasSubstr(Series("openai", "open", 0)));
  EXPECT_THAT(page, HasSubstr(Series("openai", "healthy", 1)));
}

TEST(MetricsTest, AForgottenProviderHasNoSeries) {
  Metrics metrics;
  metrics.Render({.provider_states = {{"old", HealthState::kOpen}}});
  EXPECT_THAT(metrics.Render({.provider_states = {{"new", HealthState::kHealthy}}}),
              Not(HasSubstr("\"old\"")));
}

TEST(MetricsTest, ProvidersBeyondTheBoundAreNotShown) {
  Metrics metrics;
  TableStats stats;
  for (size_t i = 0; i < Metrics::kMaxProviders; ++i)
    stats.provider_states.push_back({Concat("p", i), HealthState::kHealthy});
  metrics.Render(stats);
  stats.provider_states.insert(stats.provider_states.begin(), {"late", HealthState::kOpen});
  const std::string page = metrics.Render(stats);
  EXPECT_THAT(page, Not(HasSubstr("\"late\"")));
  EXPECT_THAT(page, HasSubstr(Series("p0", "healthy", 1)));
}

}  // namespace
}  // namespace ratelimitd
