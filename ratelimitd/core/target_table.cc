#include "ratelimitd/core/target_table.h"

#include <algorithm>

#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

// How many of the least recently asked targets are looked at to make room for a new one.
constexpr int kRoomTries = 8;
constexpr milliseconds kSweepInterval = std::chrono::seconds(1);

}  // namespace

TargetTable::TargetTable(TableSettings settings, uint32_t life)
    : settings_(std::move(settings)), life_(life), reporters_(settings_.max_reporters) {
  MakeConfiguredProviders();
}

TargetTable::~TargetTable() = default;

TargetTable::Provider* TargetTable::FindProvider(std::string_view name) const {
  const auto found = providers_.find(name);
  return found == providers_.end() ? nullptr : found->second.get();
}

TargetTable::Found TargetTable::Find(const TargetName& name) const {
  Provider* provider = FindProvider(name.provider);
  if (provider == nullptr) return {};
  const auto found = provider->targets.find(name.model);
  return {provider, found == provider->targets.end() ? nullptr : found->second.get()};
}

TargetTable::Found TargetTable::FindOrMake(const TargetName& name, MonotonicTime now) {
  Found found = Find(name);
  if (found.target != nullptr) {
    by_use_.splice(by_use_.end(), by_use_, found.target->use);
    return found;
  }
  if (!MakeRoom(now)) {
    ++not_remembered_;
    return {FindProvider(name.provider), nullptr};
  }
  // Making room may have forgotten the provider.
  found.provider = MakeProvider(name.provider, now);
  if (found.provider == nullptr) return {};
  auto entry = std::make_unique<Entry>(name.model, *found.provider);
  entry->id = is_shared_ ? TargetId(name) : ++last_id_;
  entry->view_version = ++view_version_;
  entry->use = by_use_.insert(by_use_.end(), entry.get());
  targets_by_id_[entry->id] = entry.get();
  found.target = entry.get();
  found.provider->targets.emplace(std::string(name.model), std::move(entry));
  Touch(*found.target);
  return found;
}

TargetTable::Provider* TargetTable::MakeProvider(std::string_view name, MonotonicTime now) {
  if (Provider* known = FindProvider(name)) return known;
  if (!MakeRoomForProvider(now)) return nullptr;
  auto provider = std::make_unique<Provider>(name);
  provider->settings = &settings_.For(name);
  provider->life = life_;
  provider->id = is_shared_ ? ProviderId(name) : ++last_id_;
  provider->view_version = ++view_version_;
  providers_by_id_[provider->id] = provider.get();
  Touch(*provider);
  return providers_.emplace(std::string(name), std::move(provider)).first->second.get();
}

bool TargetTable::MakeRoom(MonotonicTime now) {
  for (int i = 0; i < kRoomTries && targets_by_id_.size() >= settings_.max_targets; ++i) {
    if (by_use_.empty()) return false;
    ForgetOldest(now);
  }
  return targets_by_id_.size() < settings_.max_targets;
}

// Unless it must stay.
void TargetTable::ForgetOldest(MonotonicTime now) {
  Entry& oldest = *by_use_.front();
  // A probe of the provider comes back under the name of one of its targets.
  const bool may_go = oldest.provider.health.probes_out() == 0 &&
                      oldest.health.IsIdle(*oldest.provider.settings, now);
  if (may_go) {
    Forget(oldest, now);
    ++evicted_;
  } else {
    by_use_.splice(by_use_.end(), by_use_, by_use_.begin());
  }
}

// Whether nothing would be lost but a history.
bool TargetTable::IsIdle(const Provider& provider, MonotonicTime now) const {
  return provider.targets.empty() && !settings_.providers.contains(provider.name) &&
         provider.health.probes_out() == 0 && provider.health.IsIdle(*provider.settings, now) &&
         provider.limits.IsIdle(now);
}

bool TargetTable::MakeRoomForProvider(MonotonicTime now) {
  const auto has_room = [this] { return providers_.size() < settings_.max_targets; };
  for (int i = 0; i < kRoomTries && !has_room() && !by_use_.empty(); ++i) ForgetOldest(now);
  if (has_room()) return true;
  if (now < next_sweep_) return false;
  next_sweep_ = now + kSweepInterval;
  absl::erase_if(providers_, [this, now](const auto& item) {
    const Provider& provider = *item.second;
    if (!IsIdle(provider, now)) return false;
    std::erase(touched_.providers, &provider);
    providers_by_id_.erase(provider.id);
    return true;
  });
  return has_room();
}

void TargetTable::Forget(Entry& entry, MonotonicTime now) {
  Provider& provider = entry.provider;
  if (entry.is_touched) std::erase(touched_.targets, &entry);
  targets_by_id_.erase(entry.id);
  by_use_.erase(entry.use);
  provider.targets.erase(entry.model);
  const bool is_news =
      !provider.health.history().empty() || !provider.credential_fingerprint.empty();
  if (is_news || !IsIdle(provider, now)) return;
  if (provider.is_touched) std::erase(touched_.providers, &provider);
  providers_by_id_.erase(provider.id);
  providers_.erase(provider.name);
}

void TargetTable::Advance(Provider& provider, const Moment& moment) {
  Touch(provider);
  if (provider.health.Advance(*provider.settings, moment, provider.order)) {
    MarkChanged(provider, nullptr);
  }
  NoteVersion(provider);
}

void TargetTable::Advance(Entry& entry, const Moment& moment) {
  Provider& provider = entry.provider;
  Touch(entry);
  if (entry.health.Advance(*provider.settings, moment, provider.order)) {
    MarkChanged(provider, &entry);
  }
  NoteVersion(entry);
}

void TargetTable::MarkChanged(Provider& provider, Entry* target) {
  changed_.emplace(provider.name, target == nullptr ? std::string() : target->model);
}

bool TargetTable::BeginSession(std::string_view reporter, std::string_view host,
                               MonotonicTime now) {
  return reporters_.BeginSession(reporter, host, now);
}

void TargetTable::EndSession(std::string_view reporter, MonotonicTime now) {
  const uint64_t ended = reporters_.EndSession(reporter, now);
  if (ended != 0) CutLeases(ended, now);
}

void TargetTable::CutLeases(uint64_t ended, MonotonicTime now) {
  for (auto& [name, provider] : providers_) {
    const MonotonicTime lease_end = now + provider->settings->breaker.probe_lease;
    if (provider->health.HasLeaseOf(ended) || provider->limits.HasLeaseOf(ended)) Touch(*provider);
    provider->health.OnSessionEnded(ended, lease_end);
    provider->limits.OnSessionEnded(ended, lease_end);
    for (auto& [model, target] : provider->targets) {
      if (!target->health.HasLeaseOf(ended)) continue;
      target->health.OnSessionEnded(ended, lease_end);
      Touch(*target);
    }
  }
  clients_.OnSessionEnded(ended, now + settings_.defaults.breaker.probe_lease);
}

std::vector<KeyRecord> TargetTable::TakeConsequences(MonotonicTime now) {
  std::vector<KeyRecord> records;
  for (const auto& [provider_name, model] : changed_) {
    KeyRecord& record = records.emplace_back();
    record.provider = provider_name;
    record.model = model;
    const Found found = Find({provider_name, model});
    if (model.empty() && found.provider != nullptr) {
      record.health = found.provider->health.ToRecord(now);
      record.health.credential_fingerprint = found.provider->credential_fingerprint;
    } else if (found.target != nullptr) {
      record.health = found.target->health.ToRecord(now);
    }
  }
  changed_.clear();
  return records;
}

void TargetTable::Restore(const KeyRecord& record, milliseconds age, MonotonicTime now) {
  const HealthRecord aged = AgeRecord(record.health, age);
  if (record.model.empty()) {
    Provider* provider = MakeProvider(record.provider, now);
    if (provider == nullptr) return;
    provider->credential_fingerprint = aged.credential_fingerprint;
    provider->health.Restore(aged, now, provider->order);
    NoteVersion(*provider);
    return;
  }
  const Found found = FindOrMake({record.provider, record.model}, now);
  if (found.target == nullptr) return;
  found.target->health.Restore(aged, now, found.provider->order);
  NoteVersion(*found.target);
}

void TargetTable::Configure(TableSettings settings) {
  settings_ = std::move(settings);
  for (auto& [name, provider] : providers_) provider->settings = &settings_.For(name);
  MakeConfiguredProviders();
}

void TargetTable::MakeConfiguredProviders() {
  for (const auto& [name, settings] : settings_.providers) MakeProvider(name, {});
}

size_t TargetTable::Room() const {
  const size_t held = std::max(targets_by_id_.size(), providers_.size());
  return settings_.max_targets - std::min(settings_.max_targets, held);
}

}  // namespace ratelimitd
