#include "tests/simulation/simulation.h"

#include <gtest/gtest.h>

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr uint64_t kFirstSeed = 1000;
// Few, since the sanitizers run them too; scripts/test runs hundreds without.
constexpr uint64_t kSeeds = 3;
constexpr uint64_t kFleetSeeds = 2;

std::string Told(const Outcome& outcome) {
  if (!outcome.finding) return "";
  return std::string(outcome.finding->invariant) + ": " + outcome.finding->what;
}

TEST(SimulationTest, SameSeedGivesTheSameTrace) {
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const Scenario scenario = DrawScenario(seed, 1);
    EXPECT_EQ(Simulate(scenario).trace_hash, Simulate(scenario).trace_hash);
  }
}

TEST(SimulationTest, SameSeedGivesTheSameTraceOfAFleet) {
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kFleetSeeds; ++seed) {
    SCOPED_TRACE(seed);
    const Scenario scenario = DrawScenario(seed, 3);
    const Outcome outcome = Simulate(scenario);
    EXPECT_EQ(Told(outcome), "");
    EXPECT_EQ(outcome.trace_hash, Simulate(scenario).trace_hash);
  }
}

TEST(SimulationTest, OtherSeedGivesAnotherTrace) {
  EXPECT_NE(Simulate(DrawScenario(1, 1)).trace_hash, Simulate(DrawScenario(2, 1)).trace_hash);
}

// Nothing opens, closes or hangs, and not one answer differs.
TEST(SimulationTest, StepsOfTheWallClockByAnHourAndByAYearChangeNothing) {
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Scenario steady = DrawScenario(seed, 1);
    steady.restart_every = 0ms;
    steady.clock_step_every = 0ms;
    Scenario stepped = steady;
    stepped.clock_step_every = 2s;
    const Outcome outcome = Simulate(stepped);
    EXPECT_EQ(Told(outcome), "");
    EXPECT_EQ(outcome.trace_hash, Simulate(steady).trace_hash);
  }
}

TEST(SimulationTest, RestartsUnderASteppedWallClockKeepDeadlines) {
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    SCOPED_TRACE(seed);
    Scenario scenario = DrawScenario(seed, 1);
    scenario.store = StoreKind::kDurable;
    scenario.restart_every = 10s;
    scenario.clock_step_every = 5s;
    const Outcome outcome = Simulate(scenario);
    EXPECT_EQ(Told(outcome), "");
    EXPECT_GT(outcome.lives, 5);
  }
}

}  // namespace
}  // namespace simulation
