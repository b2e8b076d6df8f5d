// simulation (--seed N [--trace] | --seeds FROM COUNT) [--replicas N]
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "tests/simulation/simulation.h"

namespace simulation {
namespace {

constexpr char kUsage[] =
    "Usage: simulation (--seed N [--trace] | --seeds FROM COUNT) [--replicas N]\n"
    "Lets a fleet of gateways and ratelimitd live through whatever can go wrong, in simulated "
    "time,\n"
    "and checks the invariants I1 to I12. The same seed gives the same run. --replicas: how many\n"
    "ratelimitd there are, instead of what the seed says; 1 has a store of its own.\n";

struct Options {
  uint64_t from = 0;
  uint64_t count = 1;
  int replicas = 0;  // 0: as the seed says
  Trace::Printing printing = Trace::Printing::kNothing;
};

std::optional<Options> ParseOptions(const std::vector<std::string>& words) {
  Options options;
  bool has_seed = false;
  for (size_t i = 0; i < words.size();) {
    const auto number = [&](size_t at, auto& out) {
      return at < words.size() && absl::SimpleAtoi(words[at], &out);
    };
    if (words[i] == "--seed" && number(i + 1, options.from)) {
      has_seed = true;
      i += 2;
    } else if (words[i] == "--seeds" && number(i + 1, options.from) &&
               number(i + 2, options.count)) {
      has_seed = true;
      i += 3;
    } else if (words[i] == "--replicas" && number(i + 1, options.replicas)) {
      i += 2;
    } else if (words[i] == "--trace") {
      options.printing = Trace::Printing::kEverything;
      i += 1;
    } else {
      return std::nullopt;
    }
  }
  if (!has_seed) return std::nullopt;
  return options;
}

// False: an invariant was broken.
bool RunSeed(uint64_t seed, const Options& options, Turn& messages) {
  const Scenario scenario = DrawScenario(seed, options.replicas);
  const Outcome outcome = Simulate(scenario, options.printing);
  messages += outcome.messages;
  if (options.printing == Trace::Printing::kEverything) {
    std::cout << absl::StreamFormat("trace %016x, %d messages, %d lives of ratelimitd\n",
                                    outcome.trace_hash, outcome.messages, outcome.lives);
  }
  if (!outcome.finding) return true;
  const double at = std::chrono::duration<double>(outcome.at.time_since_epoch()).count() - 3600;
  std::cout << absl::StreamFormat("seed %d (%d on a %s store): %s broken after %.6f s: %s\n", seed,
                                  scenario.replicas, scenario.IsFleet() ? "shared" : "own",
                                  outcome.finding->invariant, at, outcome.finding->what)
            << std::flush;
  return false;
}

int Main(const std::vector<std::string>& words) {
  const auto options = ParseOptions(words);
  if (!options) {
    std::cerr << kUsage;
    return 2;
  }
  uint64_t failed = 0;
  Turn messages = 0;
  for (uint64_t seed = options->from; seed < options->from + options->count; ++seed) {
    if (!RunSeed(seed, *options, messages)) ++failed;
  }
  std::cout << absl::StreamFormat("%d seeds, %d failed, %d messages handled\n", options->count,
                                  failed, messages);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace simulation

int main(int argc, char** argv) {
  return simulation::Main(std::vector<std::string>(argv + 1, argv + argc));
}
