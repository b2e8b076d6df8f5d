#include "tests/simulation/scenario.h"

#include <algorithm>

#include "common/concat.h"
#include "tests/simulation/random.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;

std::vector<ProviderSpec> DrawProviders(Random& random) {
  std::vector<ProviderSpec> providers;
  const int count = random.Between(1, 3);
  for (int p = 0; p < count; ++p) {
    ProviderSpec& provider = providers.emplace_back();
    provider.name = common::Concat("p", p);
    const int models = random.Between(1, 2);
    for (int m = 0; m < models; ++m) provider.models.push_back(common::Concat("m", m));
  }
  return providers;
}

// Every target is the first of a route; most routes have a fallback.
std::vector<std::vector<common::Target>> DrawRoutes(const std::vector<ProviderSpec>& providers,
                                                    Random& random) {
  std::vector<common::Target> all;
  for (const ProviderSpec& provider : providers) {
    for (const std::string& model : provider.models) all.push_back({provider.name, model});
  }
  std::vector<std::vector<common::Target>> routes;
  for (const common::Target& first : all) {
    std::vector<common::Target>& route = routes.emplace_back();
    route.push_back(first);
    for (const common::Target& other : all) {
      const bool is_in = std::find(route.begin(), route.end(), other) != route.end();
      if (!is_in && random.Happens(0.4)) route.push_back(other);
    }
  }
  return routes;
}

milliseconds Mean(Random& random, double probability, milliseconds shortest, milliseconds longest) {
  const bool happens = random.Happens(probability);
  const auto mean = std::chrono::duration_cast<milliseconds>(random.Between(shortest, longest));
  return happens ? mean : 0ms;
}

ratelimitd::TableSettings DrawSettings(Random& random) {
  ratelimitd::TableSettings settings;
  ratelimitd::BreakerSettings& breaker = settings.defaults.breaker;
  if (random.Happens(0.2)) breaker.probes = 2;
  if (random.Happens(0.2)) breaker.probe_successes = 1;
  if (random.Happens(0.2)) breaker.consecutive = 3;
  if (random.Happens(0.2)) breaker.probe_lease = 10s;
  return settings;
}

void DrawFaults(Random& random, Scenario& scenario) {
  scenario.outage_every = Mean(random, 0.95, 5s, 30s);
  scenario.cut_every = Mean(random, 0.6, 10s, 60s);
  scenario.stall_every = Mean(random, 0.4, 20s, 90s);
  scenario.death_every = Mean(random, 0.5, 15s, 90s);
  scenario.restart_every = Mean(random, 0.5, 30s, 120s);
  scenario.store_outage_every = Mean(random, 0.3, 30s, 90s);
  scenario.clock_step_every = Mean(random, 0.5, 20s, 90s);
  scenario.flood_every = Mean(random, 0.15, 5s, 20s);
  scenario.replay_every = Mean(random, 0.5, 40s, 90s);
  scenario.rotation_every = Mean(random, 0.3, 20s, 60s);
  scenario.has_dead_egress = random.Happens(0.25);
  scenario.ghost_share = random.Happens(0.5) ? 0.1 : 0;
  if (scenario.HasFlood()) scenario.settings.max_targets = 40;
}

// With a generator of its own: whoever is alone lives as it would without this.
void DrawFleet(Random random, int replicas, Scenario& scenario) {
  scenario.flood_limited_share = random.Happens(0.5) ? 0.9 : 0.02;
  scenario.replicas = random.Between(1, 3);
  const bool is_alone_on_shared = random.Happens(0.2);
  if (replicas > 0) scenario.replicas = replicas;
  if (scenario.replicas == 1 && (replicas == 1 || !is_alone_on_shared)) return;
  scenario.store = StoreKind::kShared;
  if (random.Happens(0.5)) scenario.clock_step_every = 0ms;
  // A table full of facts has no room for what others have learned.
  scenario.flood_limited_share = 0.02;
  scenario.link_cut_every = Mean(random, 0.5, 20s, 90s);
  scenario.failover_every = Mean(random, 0.4, 40s, 120s);
  scenario.flush_every = Mean(random, 0.3, 40s, 120s);
  scenario.pause_every = Mean(random, 0.3, 20s, 60s);
  scenario.lost_commit_share = random.Happens(0.5) ? 0.002 : 0;
  scenario.conflict_share = random.Happens(0.7) ? 0.3 : 0;
}

// Likewise. A flood might evict, for want of room, what an operator has reset.
void DrawOperator(Random random, Scenario& scenario) {
  if (!scenario.HasFlood()) scenario.operator_every = Mean(random, 0.4, 1s, 10s);
}

ratelimitd::LimitSettings DrawLimits(Random& random) {
  ratelimitd::LimitSettings limits;
  if (random.Happens(0.7)) limits.requests_per_minute = random.Between(10, 120);
  if (random.Happens(0.7)) limits.tokens_per_minute = random.Between(300, 20'000);
  if (random.Happens(0.7)) limits.concurrent = random.Between(1, 8);
  return limits;
}

// Likewise. A flood might evict what the provider has admitted; how much of a limit is left when
// the shared clock is set nobody promises.
void DrawClient(Random random, Scenario& scenario) {
  const bool has_clock_steps = scenario.IsFleet() && scenario.clock_step_every > 0ms;
  if (scenario.HasFlood() || has_clock_steps) return;
  scenario.client_every = Mean(random, 0.4, 200ms, 2s);
  scenario.client_limits = DrawLimits(random);
  if (scenario.client_limits.IsUnlimited()) scenario.client_limits.concurrent = 1;
  if (scenario.client_every == 0ms) return;
  ratelimitd::HealthSettings provider = scenario.settings.defaults;
  provider.limits = DrawLimits(random);
  scenario.settings.providers.emplace(kLimitedProvider, provider);
}

}  // namespace

Scenario DrawScenario(uint64_t seed, int replicas) {
  Random random = Random::ForPart(seed, 1);
  Scenario scenario;
  scenario.seed = seed;
  scenario.settings = DrawSettings(random);
  scenario.store = random.Happens(0.75) ? StoreKind::kDurable : StoreKind::kMemory;
  scenario.providers = DrawProviders(random);
  scenario.routes = DrawRoutes(scenario.providers, random);
  const int hosts = random.Between(1, 4);
  for (int h = 0; h < hosts; ++h) {
    scenario.hosts.push_back(random.Happens(0.8) ? Speech::kSession : Speech::kUnary);
  }
  scenario.threads = random.Between(1, 2);
  const int reporters = hosts * scenario.threads;
  scenario.request_every = milliseconds(random.Between(200, 400) * reporters);
  scenario.burst_every = Mean(random, 0.4, 10s, 60s);
  scenario.hot_every = Mean(random, 0.3, 30s, 120s);
  DrawFaults(random, scenario);
  DrawFleet(Random::ForPart(seed, 5), replicas, scenario);
  DrawOperator(Random::ForPart(seed, 6), scenario);
  DrawClient(Random::ForPart(seed, 7), scenario);
  return scenario;
}

}  // namespace simulation
