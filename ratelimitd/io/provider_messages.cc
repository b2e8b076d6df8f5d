#include "ratelimitd/io/provider_messages.h"

#include <algorithm>
#include <tuple>

namespace ratelimitd {
namespace {

static_assert(static_cast<int>(HealthState::kHealthy) == pb::HEALTH_STATE_HEALTHY);
static_assert(static_cast<int>(HealthState::kRamping) == pb::HEALTH_STATE_RAMPING);
static_assert(static_cast<int>(HealthState::kBackingOff) == pb::HEALTH_STATE_BACKING_OFF);
static_assert(static_cast<int>(HealthState::kHalfOpen) == pb::HEALTH_STATE_HALF_OPEN);
static_assert(static_cast<int>(HealthState::kOpen) == pb::HEALTH_STATE_OPEN);
static_assert(static_cast<int>(HealthState::kBlocked) == pb::HEALTH_STATE_BLOCKED);
static_assert(static_cast<int>(HealthState::kObserveOnly) == pb::HEALTH_STATE_OBSERVE_ONLY);
static_assert(static_cast<int>(HealthState::kForcedClosed) == pb::HEALTH_STATE_FORCED_CLOSED);
static_assert(static_cast<int>(HealthState::kForcedOpen) == pb::HEALTH_STATE_FORCED_OPEN);
static_assert(kHealthStates == pb::HealthState_ARRAYSIZE);

static_assert(static_cast<int>(OverrideMode::kObserveOnly) == pb::OVERRIDE_MODE_OBSERVE_ONLY);
static_assert(static_cast<int>(OverrideMode::kForcedClosed) == pb::OVERRIDE_MODE_FORCE_CLOSED);
static_assert(static_cast<int>(OverrideMode::kForcedOpen) == pb::OVERRIDE_MODE_FORCE_OPEN);

template <typename Message>
void SetNanoseconds(std::chrono::nanoseconds length, Message& message) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(length);
  message.set_seconds(seconds.count());
  message.set_nanos(static_cast<int32_t>((length - seconds).count()));
}

void SetDate(common::MonotonicTime at, const ClockPair& clocks,
             google::protobuf::Timestamp& message) {
  const auto date = clocks.wall.time_since_epoch() + (at - clocks.now);
  SetNanoseconds(std::chrono::floor<milliseconds>(date), message);
}

pb::HealthState ToProto(HealthState state) { return static_cast<pb::HealthState>(state); }

void BuildTransition(const Transition& transition, const ClockPair& clocks,
                     pb::StateTransition& message) {
  SetDate(transition.at, clocks, *message.mutable_occurred_at());
  message.set_from_state(ToProto(transition.from));
  message.set_to_state(ToProto(transition.to));
  message.set_why(transition.why);
  message.set_reporter(transition.reporter);
}

void BuildLimits(const LimitView& limits, pb::ProviderLimits& message) {
  message.set_requests_per_minute(limits.settings.requests_per_minute);
  message.set_requests_remaining(limits.left.requests.remaining);
  message.set_tokens_per_minute(limits.settings.tokens_per_minute);
  message.set_tokens_remaining(limits.left.tokens.remaining);
  message.set_concurrent_requests(limits.settings.concurrent);
  message.set_concurrent_in_use(limits.running);
}

void BuildOverride(const OverrideView& ruling, const ClockPair& clocks,
                   pb::ActiveOverride& message) {
  message.set_mode(static_cast<pb::OverrideMode>(ruling.mode));
  SetDate(ruling.began, clocks, *message.mutable_began_at());
  message.set_learned_state(ToProto(ruling.learned_state));
  message.set_overruled_requests(static_cast<int64_t>(ruling.overruled));
}

}  // namespace

void BuildHealth(const HealthView& view, const ClockPair& clocks, pb::Health& message) {
  message.set_state(ToProto(view.state));
  if (view.since) SetDate(*view.since, clocks, *message.mutable_since());
  if (view.until) {
    SetDate(*view.until, clocks, *message.mutable_until());
    const auto remaining = std::max(common::MonotonicTime::duration(0), *view.until - clocks.now);
    SetNanoseconds(std::chrono::floor<milliseconds>(remaining), *message.mutable_remaining());
  }
  message.set_why(view.cause.why);
  message.set_reporter(view.cause.reporter);
  message.mutable_window()->set_calls(view.window.calls);
  message.mutable_window()->set_failures(view.window.failures);
  message.set_probes_in_flight(view.probes_out);
  for (const Transition& transition : view.history) {
    BuildTransition(transition, clocks, *message.add_transitions());
  }
  if (view.ruling) BuildOverride(*view.ruling, clocks, *message.mutable_active_override());
}

std::vector<pb::Provider> BuildProviders(const std::vector<const HealthView*>& views,
                                         const ClockPair& clocks) {
  std::vector<const HealthView*> sorted = views;
  std::sort(sorted.begin(), sorted.end(), [](const HealthView* a, const HealthView* b) {
    return std::tie(a->provider, a->model) < std::tie(b->provider, b->model);
  });
  std::vector<pb::Provider> providers;
  for (const HealthView* view : sorted) {
    if (providers.empty() || providers.back().name() != view->provider) {
      providers.emplace_back().set_name(view->provider);
    }
    pb::Provider& provider = providers.back();
    if (view->model.empty()) {
      BuildHealth(*view, clocks, *provider.mutable_health());
      if (view->limits) BuildLimits(*view->limits, *provider.mutable_limits());
      continue;
    }
    pb::TargetHealth& target = *provider.add_targets();
    target.set_model(view->model);
    BuildHealth(*view, clocks, *target.mutable_health());
  }
  return providers;
}

}  // namespace ratelimitd
