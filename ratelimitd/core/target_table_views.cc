// The table as people, dashboards and metrics see it.
#include <algorithm>
#include <tuple>

#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {

std::optional<LimitView> TargetTable::LimitsOf(const Provider& provider, MonotonicTime now) {
  const LimitSettings& settings = provider.settings->limits;
  if (settings.IsUnlimited()) return std::nullopt;
  return LimitView{settings, provider.limits.Status(settings, now), provider.limits.Running(now)};
}

HealthView TargetTable::MakeView(const Provider& provider, const Entry* target,
                                 MonotonicTime now) const {
  const Health& health = target == nullptr ? provider.health : target->health;
  return {.provider = provider.name,
          .model = target == nullptr ? std::string() : target->model,
          .state = health.StateAt(now),
          .since = health.since(),
          .until = health.UntilAt(now),
          .cause = health.CauseAt(now),
          .window = health.WindowAt(*provider.settings, now),
          .probes_out = health.probes_out(),
          .history = health.history(),
          .limits = target == nullptr ? LimitsOf(provider, now) : std::nullopt,
          .ruling = RulingOf(health, now),
          .version = target == nullptr ? provider.view_version : target->view_version};
}

std::vector<HealthView> TargetTable::View(const Moment& moment) {
  std::vector<HealthView> views = ViewChangedSince(0, moment);
  std::sort(views.begin(), views.end(), [](const HealthView& a, const HealthView& b) {
    return std::tie(a.provider, a.model) < std::tie(b.provider, b.model);
  });
  return views;
}

std::vector<HealthView> TargetTable::ViewChangedSince(uint64_t version, const Moment& moment) {
  std::vector<HealthView> views;
  for (auto& [name, provider] : providers_) {
    Advance(*provider, moment);
    if (provider->view_version > version) {
      views.push_back(MakeView(*provider, nullptr, moment.now));
    }
    for (auto& [model, target] : provider->targets) {
      Advance(*target, moment);
      if (target->view_version > version) {
        views.push_back(MakeView(*provider, target.get(), moment.now));
      }
    }
  }
  return views;
}

std::vector<HealthView> TargetTable::ViewProvider(std::string_view name, const Moment& moment) {
  std::vector<HealthView> views;
  Provider* provider = FindProvider(name);
  if (provider == nullptr) return views;
  Advance(*provider, moment);
  views.push_back(MakeView(*provider, nullptr, moment.now));
  for (auto& [model, target] : provider->targets) {
    Advance(*target, moment);
    views.push_back(MakeView(*provider, target.get(), moment.now));
  }
  return views;
}

std::optional<HealthView> TargetTable::ViewOne(const TargetName& name, const Moment& moment) {
  const Found found = Find(name);
  if (found.provider == nullptr) return std::nullopt;
  if (!name.model.empty() && found.target == nullptr) return std::nullopt;
  Advance(*found.provider, moment);
  if (found.target != nullptr) Advance(*found.target, moment);
  return MakeView(*found.provider, found.target, moment.now);
}

std::optional<Askable> TargetTable::IsAskable(std::string_view name, const Moment& moment) {
  Provider* provider = FindProvider(name);
  if (provider == nullptr) return std::nullopt;
  const auto is_refusing = [&moment](const Health& health) {
    const HealthState state = health.StateAt(moment.now);
    return state == HealthState::kOpen || state == HealthState::kBlocked ||
           state == HealthState::kForcedOpen;
  };
  Advance(*provider, moment);
  if (is_refusing(provider->health)) return Askable::kNo;
  const bool lets_pass = provider->health.ruling().IsSet();
  bool has_askable_target = provider->targets.empty();
  for (auto& [model, target] : provider->targets) {
    Advance(*target, moment);
    const bool is_out = target->health.ruling().mode() == OverrideMode::kForcedOpen;
    has_askable_target |= lets_pass ? !is_out : !is_refusing(target->health);
  }
  return has_askable_target ? Askable::kYes : Askable::kNo;
}

TableStats TargetTable::Stats(const Moment& moment) {
  TableStats stats{.targets = targets_by_id_.size(),
                   .providers = providers_.size(),
                   .reporters = reporters_.size(),
                   .evicted = evicted_,
                   .not_remembered = not_remembered_};
  for (auto& [name, provider] : providers_) {
    Advance(*provider, moment);
    HealthState worst = provider->health.StateAt(moment.now);
    ++stats.overrides_by_mode[static_cast<size_t>(provider->health.ruling().mode())];
    for (auto& [model, target] : provider->targets) {
      Advance(*target, moment);
      const HealthState state = target->health.StateAt(moment.now);
      ++stats.targets_by_state[static_cast<size_t>(state)];
      ++stats.overrides_by_mode[static_cast<size_t>(target->health.ruling().mode())];
      // An operator's word on the provider stands above what its targets have learned.
      const bool counts = !provider->health.ruling().IsSet() || target->health.ruling().IsSet();
      if (counts && IsMoreSerious(state, worst)) worst = state;
    }
    stats.provider_states.push_back({name, worst});
  }
  return stats;
}

}  // namespace ratelimitd
