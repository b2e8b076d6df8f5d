// The providers as gateways meet them: each provider and each target has a mode, which a fault
// changes and healing ends. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "gateway/core/outcome.h"
#include "tests/simulation/event_queue.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scenario.h"

namespace simulation {

enum class ProviderMode : uint8_t {
  kHealthy,
  kFlaky,  // some answers are errors
  kFailing,
  kOverloaded,
  kLimitsWithFigure,
  kLimitsWithoutFigure,
  kLimitsAbsurdly,
  kSlow,  // the gateway gives up
  kMalformed,
  kInterrupts,  // streams break off
  kModelMissing,
  // Of a whole provider:
  kAccountLimited,
  kOutOfQuota,
  kRefusesCredential,
  kUnreachable,
};
inline constexpr int kTargetModes = 11;  // the first ones; the others are of providers only
inline constexpr int kProviderModes = 15;

// One attempt, as it will go.
struct Answer {
  std::optional<gateway::Failure> failure;  // nothing: it answers
  milliseconds latency{0};                  // until the failure, or the first byte
  bool is_stream = false;
  milliseconds stream_length{0};               // after the first byte
  std::optional<gateway::Failure> broken_off;  // how the stream ends, when not well
};

class FakeProviders {
 public:
  FakeProviders(const Scenario& scenario, Random random);

  // `target` as the gateway would find it now; `has_egress` is false where the network is dead.
  enum class Egress : uint8_t { kAlive, kDead };
  Answer Ask(const common::Target& target, Egress egress);

  // One of them gets another mode, for a while of about half a minute. Returns what was hit.
  std::string Break(EventQueue& events);
  void HealAll();
  // Whether they have been healed for good.
  bool AreWhole() const { return are_whole_; }

 private:
  struct Fault {
    ProviderMode mode = ProviderMode::kHealthy;
    milliseconds figure{0};
    int number = 0;  // of the outage: an older one's end does not heal a newer one
  };
  Answer Fail(gateway::FailureKind kind, milliseconds latency);
  Answer Limit(std::optional<milliseconds> figure, gateway::LimitScope scope);
  Answer Succeed();
  Answer Meet(const Fault& fault);

  Random random_;
  std::vector<std::string> providers_;
  std::vector<common::Target> targets_;
  std::map<std::string, Fault> provider_faults_;
  std::map<common::Target, Fault> target_faults_;
  int outages_ = 0;
  bool are_whole_ = false;
};

}  // namespace simulation
