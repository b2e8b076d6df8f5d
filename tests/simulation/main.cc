// simulation --seed N [--trace] | --seeds FROM COUNT
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/simulation/simulation.h"

namespace simulation {
namespace {

constexpr char kUsage[] =
    "Usage: simulation --seed N [--trace] | --seeds FROM COUNT\n"
    "Lets a fleet of gateways and ratelimitd live through whatever can go wrong, in simulated "
    "time,\n"
    "and checks the invariants I1 to I12. The same seed gives the same run.\n";

// False: an invariant was broken.
bool RunSeed(uint64_t seed, Trace::Printing printing, Turn& messages) {
  const Scenario scenario = DrawScenario(seed);
  const Outcome outcome = Simulate(scenario, printing);
  messages += outcome.messages;
  if (printing == Trace::Printing::kEverything) {
    std::cout << absl::StreamFormat("trace %016x, %d messages, %d lives of ratelimitd\n",
                                    outcome.trace_hash, outcome.messages, outcome.lives);
  }
  if (!outcome.finding) return true;
  const double at = std::chrono::duration<double>(outcome.at.time_since_epoch()).count() - 3600;
  std::cout << absl::StreamFormat("seed %d: %s broken after %.6f s: %s\n", seed,
                                  outcome.finding->invariant, at, outcome.finding->what);
  return false;
}

int RunSeeds(uint64_t from, uint64_t count, Trace::Printing printing) {
  uint64_t failed = 0;
  Turn messages = 0;
  for (uint64_t seed = from; seed < from + count; ++seed) {
    if (!RunSeed(seed, printing, messages)) ++failed;
  }
  std::cout << absl::StreamFormat("%d seeds, %d failed, %d messages handled\n", count, failed,
                                  messages);
  return failed == 0 ? 0 : 1;
}

int Main(const std::vector<std::string>& words) {
  uint64_t from = 0;
  uint64_t count = 1;
  const bool is_traced = words.size() == 3 && words[2] == "--trace";
  if ((words.size() == 2 || is_traced) && words[0] == "--seed" &&
      absl::SimpleAtoi(words[1], &from)) {
    return RunSeeds(from, 1, is_traced ? Trace::Printing::kEverything : Trace::Printing::kNothing);
  }
  if (words.size() == 3 && words[0] == "--seeds" && absl::SimpleAtoi(words[1], &from) &&
      absl::SimpleAtoi(words[2], &count)) {
    return RunSeeds(from, count, Trace::Printing::kNothing);
  }
  std::cerr << kUsage;
  return 2;
}

}  // namespace
}  // namespace simulation

int main(int argc, char** argv) {
  return simulation::Main(std::vector<std::string>(argv + 1, argv + argc));
}
