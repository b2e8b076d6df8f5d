// What operators do to the table by hand.
#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {

const OperatorOverride* TargetTable::RulingOn(const Found& found) {
  const OperatorOverride& on_provider = found.provider->health.ruling();
  const OperatorOverride* strongest = &on_provider;
  if (found.target != nullptr) {
    const OperatorOverride& on_target = found.target->health.ruling();
    const bool is_stronger = on_target.mode() > on_provider.mode();
    const bool is_longer =
        on_target.mode() == on_provider.mode() && on_target.until() > on_provider.until();
    if (is_stronger || is_longer) strongest = &on_target;
  }
  return strongest->IsSet() ? strongest : nullptr;
}

void TargetTable::CountOverruled(const Found& found) {
  if (found.provider->health.ruling().IsSet()) found.provider->health.CountOverruled();
  if (found.target == nullptr) return;
  if (found.target->health.ruling().IsSet()) found.target->health.CountOverruled();
}

std::optional<OverrideView> TargetTable::RulingOf(const Health& health, MonotonicTime now) {
  const OperatorOverride& ruling = health.ruling();
  if (!ruling.IsSet()) return std::nullopt;
  return OverrideView{ruling.mode(), ruling.began(), health.LearnedStateAt(now),
                      health.overruled()};
}

bool TargetTable::Override(const OverrideOrder& order, const Moment& moment) {
  const bool is_provider = order.name.model.empty();
  Found found = Find(order.name);
  if (order.may_be_unknown && is_provider) {
    found.provider = MakeProvider(order.name.provider, moment.now);
  } else if (order.may_be_unknown) {
    found = FindOrMake(order.name, moment.now);
  }
  if (found.provider == nullptr || (!is_provider && found.target == nullptr)) return false;
  Provider& provider = *found.provider;
  Advance(provider, moment);
  if (!is_provider) Advance(*found.target, moment);
  Health& health = is_provider ? provider.health : found.target->health;
  health.Override(order.mode, moment.now + order.length, order.cause, moment.now, provider.order);
  MarkChanged(provider, found.target);
  NoteVersion(provider);
  if (!is_provider) NoteVersion(*found.target);
  return true;
}

bool TargetTable::Reset(const ResetOrder& order, const Moment& moment) {
  const bool is_provider = order.name.model.empty();
  const Found found = Find(order.name);
  if (found.provider == nullptr || (!is_provider && found.target == nullptr)) return false;
  Provider& provider = *found.provider;
  Advance(provider, moment);
  const auto reset = [&](Entry& target) {
    Advance(target, moment);
    target.health.Reset(order.cause, moment.now, provider.order);
    MarkChanged(provider, &target);
    NoteVersion(target);
  };
  if (!is_provider) {
    reset(*found.target);
    return true;
  }
  provider.health.Reset(order.cause, moment.now, provider.order);
  MarkChanged(provider, nullptr);
  NoteVersion(provider);
  for (auto& [model, target] : provider.targets) reset(*target);
  return true;
}

}  // namespace ratelimitd
