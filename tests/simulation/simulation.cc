#include "tests/simulation/simulation.h"

#include <functional>
#include <memory>
#include <vector>

#include "common/concat.h"
#include "tests/simulation/simulated_client.h"
#include "tests/simulation/simulated_fleet.h"
#include "tests/simulation/simulated_gateway.h"
#include "tests/simulation/simulated_operator.h"
#include "tests/simulation/simulated_server.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr int kRequestsOfABurst = 10;
constexpr milliseconds kHotPhase = 20s;
// After healing: seldom while the longest block may last, then often enough to close everything.
constexpr milliseconds kLongestBlock = 62min;
constexpr milliseconds kCalmInterval = 10s;
constexpr milliseconds kLastInterval = 2s;

class Simulation {
 public:
  Simulation(const Scenario& scenario, Trace::Printing printing)
      : scenario_(scenario),
        events_(clock_),
        trace_(events_, printing),
        auditor_(scenario_, events_, trace_),
        network_(events_, RandomFor(2)),
        server_(MakeService()),
        providers_(scenario_, RandomFor(4)),
        operator_(*server_, auditor_),
        client_(scenario_, events_, *server_, auditor_, RandomFor(8)),
        healed_at_(events_.now() + scenario_.trouble) {
    const SimulatedGateway::World world{scenario_, events_,    network_,
                                        *server_,  providers_, auditor_};
    for (size_t h = 0; h < scenario_.hosts.size(); ++h) {
      for (int t = 0; t < scenario_.threads; ++t) {
        gateways_.push_back(std::make_unique<SimulatedGateway>(
            world, common::Concat("host", h), t, scenario_.hosts[h], RandomFor(100 + 10 * h + t)));
      }
    }
  }

  Outcome Run() {
    const auto is_over = [this] { return auditor_.finding().has_value(); };
    server_->Start();
    for (const auto& gateway : gateways_) gateway->Start();
    StartTraffic();
    StartFaults();
    events_.RunUntil(healed_at_, is_over);
    if (!is_over()) Heal();
    events_.RunUntil(healed_at_ + scenario_.calm, is_over);
    if (!is_over()) ExpectHealth();
    return {auditor_.finding(), events_.now(), trace_.hash(), auditor_.turn(), auditor_.life()};
  }

 private:
  using Fault = RatelimitdService::Fault;

  std::unique_ptr<RatelimitdService> MakeService() {
    if (scenario_.IsFleet()) {
      return std::make_unique<SimulatedFleet>(scenario_, events_, clock_, network_, auditor_,
                                              RandomFor(3));
    }
    return std::make_unique<SimulatedServer>(scenario_, events_, clock_, network_, auditor_,
                                             RandomFor(3));
  }

  Random RandomFor(uint64_t part) const { return Random::ForPart(scenario_.seed, part); }
  bool IsInTrouble() const { return events_.now() < healed_at_; }

  // Does `event` again and again until everything is healed, with a generator of its own.
  template <typename Event>
  void Repeat(uint64_t part, milliseconds mean, Event event) {
    if (mean == 0ms) return;
    Again(std::make_shared<Random>(RandomFor(part)), mean, std::move(event));
  }
  template <typename Event>
  void Again(std::shared_ptr<Random> random, milliseconds mean, Event event) {
    events_.After(random->Interval(mean), [this, random, mean, event]() mutable {
      if (!IsInTrouble()) return;
      event(*random);
      Again(random, mean, event);
    });
  }

  void StartTraffic() {
    for (size_t i = 0; i < gateways_.size(); ++i) {
      SimulatedGateway& gateway = *gateways_[i];
      Repeat(200 + i, scenario_.request_every,
             [this, &gateway](Random& random) { gateway.Request(random.OneOf(scenario_.routes)); });
    }
    Repeat(20, scenario_.burst_every, [this](Random& random) {
      SimulatedGateway& gateway = *random.OneOf(gateways_);
      const auto& route = random.OneOf(scenario_.routes);
      for (int i = 0; i < kRequestsOfABurst; ++i) gateway.Request(route);
    });
    Repeat(21, scenario_.hot_every, [this](Random& random) {
      const auto& route = random.OneOf(scenario_.routes);
      const auto interval = random.Between(20ms, 100ms);
      for (nanoseconds at = 0ms; at < kHotPhase; at += interval) {
        SimulatedGateway& gateway = *random.OneOf(gateways_);
        events_.After(at, [&gateway, &route] { gateway.Request(route); });
      }
    });
  }

  void StartFaults() {
    Repeat(30, scenario_.outage_every, [this](Random&) { providers_.Break(events_); });
    Repeat(31, scenario_.cut_every, [this](Random& random) {
      if (const auto session = SomeSession(random)) network_.Cut(session);
    });
    Repeat(32, scenario_.stall_every, [this](Random& random) {
      if (const auto session = SomeSession(random)) network_.Stall(session);
    });
    Repeat(33, scenario_.death_every, [this](Random& random) {
      SimulatedGateway& gateway = *random.OneOf(gateways_);
      if (!gateway.IsAlive()) return;
      gateway.Die();
      events_.After(random.Interval(5s), [&gateway] { gateway.Start(); });
    });
    Repeat(34, scenario_.restart_every, [this](Random& random) { server_->Restart(random); });
    Repeat(35, scenario_.clock_step_every,
           [this](Random& random) { server_->StepClock(random.OneOf(kClockSteps)); });
    Repeat(36, scenario_.flood_every,
           [this](Random&) { server_->Flood(60, scenario_.flood_limited_share); });
    Repeat(37, scenario_.replay_every, [this](Random&) { server_->ReplayAll(); });
    Repeat(38, scenario_.rotation_every, [this](Random& random) { Rotate(random); });
    Repeat(39, scenario_.store_outage_every, BreakBy(Fault::kStoreAway));
    Repeat(41, scenario_.link_cut_every, BreakBy(Fault::kLinkCut));
    Repeat(42, scenario_.failover_every, BreakBy(Fault::kFailover));
    Repeat(43, scenario_.flush_every, BreakBy(Fault::kFlush));
    Repeat(44, scenario_.pause_every, BreakBy(Fault::kPause));
    Repeat(45, scenario_.operator_every, [this](Random& random) { operator_.Act(random); });
    if (scenario_.operator_every > 0ms) {
      Repeat(46, 2s, [this](Random&) { operator_.AskAll(); });
    }
    Repeat(47, scenario_.client_every, [this](Random&) { client_.Ask(); });
    Repeat(40, 5s, [this](Random&) { server_->CheckMemory(); });
    if (scenario_.has_dead_egress) SetEgress(FakeProviders::Egress::kDead);
  }

  std::function<void(Random&)> BreakBy(Fault fault) {
    return [this, fault](Random& random) { server_->Break(fault, random); };
  }

  void SetEgress(FakeProviders::Egress egress) {
    for (int t = 0; t < scenario_.threads; ++t)
      gateways_[static_cast<size_t>(t)]->set_egress(egress);
  }

  std::shared_ptr<Connection> SomeSession(Random& random) {
    const auto& connection = random.OneOf(gateways_)->connection();
    const bool is_session = connection != nullptr && connection->speech == Speech::kSession;
    return is_session ? connection : nullptr;
  }

  void Rotate(Random& random) {
    const std::string& provider = random.OneOf(scenario_.providers).name;
    const std::string fingerprint = common::Concat("key", random.Next() % 1000);
    for (const auto& gateway : gateways_) {
      events_.After(random.Between(0ms, 5s), [&gateway, provider, fingerprint] {
        gateway->UseCredential(provider, fingerprint);
      });
    }
  }

  void Heal() {
    providers_.HealAll();
    network_.Heal();
    SetEgress(FakeProviders::Egress::kAlive);
    server_->Heal();
    for (const auto& gateway : gateways_) {
      if (!gateway->IsAlive()) gateway->Start();
    }
    AskNowAndThen(std::make_shared<Random>(RandomFor(50)));
  }

  void AskNowAndThen(std::shared_ptr<Random> random) {
    const bool is_late = events_.now() > healed_at_ + kLongestBlock;
    const nanoseconds wait = random->Interval(is_late ? kLastInterval : kCalmInterval);
    events_.After(wait, [this, random] {
      random->OneOf(gateways_)->Request(random->OneOf(scenario_.routes));
      AskNowAndThen(random);
    });
  }

  void ExpectHealth() {
    server_->ReplayAll();
    if (scenario_.operator_every > 0ms) operator_.AskAll();
    for (const auto& gateway : gateways_) {
      for (const auto& route : scenario_.routes) {
        server_->ExpectAdmitted(gateway->reporter(), route.front());
      }
    }
    server_->CheckMemory();
  }

  const Scenario scenario_;
  candor_test::FakeClock clock_;
  EventQueue events_;
  Trace trace_;
  Auditor auditor_;
  Network network_;
  std::unique_ptr<RatelimitdService> server_;
  FakeProviders providers_;
  SimulatedOperator operator_;
  SimulatedClient client_;
  MonotonicTime healed_at_;
  std::vector<std::unique_ptr<SimulatedGateway>> gateways_;
};

}  // namespace

Outcome Simulate(const Scenario& scenario, Trace::Printing printing) {
  return Simulation(scenario, printing).Run();
}

}  // namespace simulation
