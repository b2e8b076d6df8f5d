#include "tests/simulation/fake_provider.h"

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using gateway::FailureKind;
using gateway::LimitScope;

constexpr milliseconds kMeanOutage = 30s;
constexpr milliseconds kGatewaysPatience = 3s;
constexpr milliseconds kFigures[] = {0s, 1s, 5s, 20s, 60s, 10min, 1h};
constexpr milliseconds kAbsurdFigures[] = {-1s, 24h * 400};

milliseconds Millis(nanoseconds length) { return std::chrono::duration_cast<milliseconds>(length); }

}  // namespace

FakeProviders::FakeProviders(const Scenario& scenario, Random random) : random_(random) {
  for (const ProviderSpec& provider : scenario.providers) {
    providers_.push_back(provider.name);
    for (const std::string& model : provider.models) targets_.push_back({provider.name, model});
  }
}

Answer FakeProviders::Ask(const common::Target& target, Egress egress) {
  if (egress == Egress::kDead) return Fail(FailureKind::kUpstreamUnreachable, 50ms);
  const Fault& of_provider = provider_faults_[target.provider];
  if (of_provider.mode != ProviderMode::kHealthy) return Meet(of_provider);
  return Meet(target_faults_[target]);
}

Answer FakeProviders::Fail(FailureKind kind, milliseconds latency) {
  Answer answer;
  answer.failure = gateway::MakeFailure(kind, "");
  answer.latency = latency;
  return answer;
}

Answer FakeProviders::Limit(std::optional<milliseconds> figure, LimitScope scope) {
  Answer answer = Fail(FailureKind::kRateLimited, Millis(random_.Between(5ms, 200ms)));
  answer.failure->upstream_status = 429;
  answer.failure->timing = {figure, scope};
  return answer;
}

Answer FakeProviders::Succeed() {
  Answer answer;
  answer.latency = Millis(random_.Between(20ms, 600ms));
  answer.is_stream = random_.Happens(0.4);
  if (answer.is_stream) answer.stream_length = Millis(random_.Between(100ms, 20s));
  return answer;
}

Answer FakeProviders::Meet(const Fault& fault) {
  const milliseconds quick = Millis(random_.Between(5ms, 300ms));
  switch (fault.mode) {
    case ProviderMode::kHealthy:
      return Succeed();
    case ProviderMode::kFlaky:
      return random_.Happens(0.5) ? Fail(FailureKind::kUpstreamError, quick) : Succeed();
    case ProviderMode::kFailing:
      return Fail(FailureKind::kUpstreamError, quick);
    case ProviderMode::kOverloaded:
      return Fail(FailureKind::kOverloaded, quick);
    case ProviderMode::kLimitsWithFigure:
      return Limit(fault.figure, LimitScope::kTarget);
    case ProviderMode::kLimitsWithoutFigure:
      return Limit(std::nullopt, LimitScope::kTarget);
    case ProviderMode::kLimitsAbsurdly:
      return Limit(random_.OneOf(kAbsurdFigures), LimitScope::kTarget);
    case ProviderMode::kSlow:
      return Fail(FailureKind::kUpstreamTimeout, kGatewaysPatience);
    case ProviderMode::kMalformed:
      return Fail(FailureKind::kUpstreamMalformed, quick);
    case ProviderMode::kInterrupts: {
      Answer answer = Succeed();
      answer.is_stream = true;
      answer.broken_off = gateway::MakeFailure(FailureKind::kUpstreamInterrupted, "");
      return answer;
    }
    case ProviderMode::kModelMissing:
      return Fail(FailureKind::kModelNotFound, quick);
    case ProviderMode::kAccountLimited:
      return Limit(fault.figure, LimitScope::kProvider);
    case ProviderMode::kOutOfQuota: {
      Answer answer = Fail(FailureKind::kQuotaExhausted, quick);
      if (fault.figure >= 1min) answer.failure->timing.retry_after = fault.figure;
      return answer;
    }
    case ProviderMode::kRefusesCredential:
      return Fail(FailureKind::kProviderAuth, quick);
    case ProviderMode::kUnreachable:
      return Fail(FailureKind::kUpstreamUnreachable, quick);
  }
  return Succeed();
}

std::string FakeProviders::Break(EventQueue& events) {
  const bool is_whole = random_.Happens(0.4);
  const std::string& provider = random_.OneOf(providers_);
  const common::Target& target = random_.OneOf(targets_);
  Fault& fault = is_whole ? provider_faults_[provider] : target_faults_[target];
  const int modes = is_whole ? kProviderModes : kTargetModes;
  fault.mode = static_cast<ProviderMode>(random_.Between(1, modes - 1));
  fault.figure = random_.OneOf(kFigures);
  fault.number = ++outages_;
  events.After(random_.Interval(kMeanOutage), [&fault, number = fault.number] {
    if (fault.number == number) fault.mode = ProviderMode::kHealthy;
  });
  return common::Concat(is_whole ? provider : common::Concat(target.provider, "/", target.model),
                        " mode ", static_cast<int>(fault.mode));
}

void FakeProviders::HealAll() {
  are_whole_ = true;
  for (auto& [name, fault] : provider_faults_) fault.mode = ProviderMode::kHealthy;
  for (auto& [target, fault] : target_faults_) fault.mode = ProviderMode::kHealthy;
}

}  // namespace simulation
