// The table's state as documents, for replicas that share it.
#include <algorithm>

#include "ratelimitd/core/stable_hash.h"
#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

using std::chrono::microseconds;

// Bytes of another layout are not guessed at. The second has an operator's overrides, the third his
// resets; what has none is written in the first, which earlier versions read.
constexpr int kLatestLayout = 3;
constexpr size_t kMaxFingerprintBytes = 64;

// The numbers of a replica's leases; 2^44 of them before they could meet another's.
constexpr int kLeaseBits = 44;

template <typename Archive>
void ExchangeProvider(Archive& archive, auto& provider) {
  archive.Number(provider.life, UINT32_MAX);
  archive.Number(provider.order);
  archive.Text(provider.credential_fingerprint, kMaxFingerprintBytes);
  Health::Exchange(archive, provider.health);
  Limits::Exchange(archive, provider.limits);
  RecentReports::Exchange(archive, provider.recent);
}

std::string_view ModelOf(const FieldName& name) {
  return std::string_view(name.field).substr(kTargetFieldPrefix.size());
}

bool IsTarget(const FieldName& name) {
  return std::string_view(name.field).substr(0, kTargetFieldPrefix.size()) == kTargetFieldPrefix;
}

FieldName NameOf(std::string_view provider, std::string_view field, std::string_view model = {}) {
  std::string name(field);
  name.append(model);
  return {{DocumentKind::kProvider, std::string(provider)}, std::move(name)};
}

FieldName NameOfClient(std::string_view client) {
  return {{DocumentKind::kClient, std::string(client)}, std::string(kClientField)};
}

template <typename Exchange>
TargetTable::FieldState Write(int layout, StateScope scope, Exchange exchange) {
  StateWriter writer(scope, layout);
  writer.Number(layout);
  exchange(writer);
  const MonotonicTime latest = writer.latest();
  return {writer.TakeBytes(), latest};
}

// False: malformed, or of a layout that is not known here. No bytes: nothing has changed.
template <typename Exchange>
bool Read(std::string_view bytes, microseconds shift, Exchange exchange) {
  if (bytes.empty()) return true;
  StateReader reader(bytes, shift);
  int layout = 0;
  reader.Number(layout, kLatestLayout + 1);
  if (layout < 1 || layout > kLatestLayout) return false;
  reader.SetLayout(layout);
  exchange(reader);
  return reader.IsSound() && reader.IsAtEnd();
}

}  // namespace

void TargetTable::BeginSharing(uint64_t first_lease_id) {
  is_shared_ = true;
  last_id_ = first_lease_id << kLeaseBits;
}

void TargetTable::Touch(Provider& provider) {
  if (!is_shared_ || provider.is_touched) return;
  provider.is_touched = true;
  touched_.providers.push_back(&provider);
}

void TargetTable::Touch(Entry& entry) {
  if (!is_shared_ || entry.is_touched) return;
  entry.is_touched = true;
  touched_.targets.push_back(&entry);
}

std::vector<FieldName> TargetTable::TakeTouched() {
  std::vector<FieldName> names;
  for (Provider* provider : touched_.providers) {
    provider->is_touched = false;
    names.push_back(NameOf(provider->name, kProviderField));
  }
  for (Entry* entry : touched_.targets) {
    entry->is_touched = false;
    names.push_back(NameOf(entry->provider.name, kTargetFieldPrefix, entry->model));
  }
  for (const std::string& client : clients_.TakeTouched()) names.push_back(NameOfClient(client));
  touched_ = {};
  return names;
}

void TargetTable::CollectDocuments(const AttemptReport& report,
                                   std::vector<DocumentKey>& keys) const {
  if (report.target) {
    keys.push_back({DocumentKind::kProvider, std::string(report.target->provider)});
  }
  const auto token = ParseToken(report.token);
  if (!token) return;
  const auto known = targets_by_id_.find(token->target_id);
  const auto of_provider = providers_by_id_.find(token->target_id);
  if (known != targets_by_id_.end()) {
    keys.push_back({DocumentKind::kProvider, known->second->provider.name});
  } else if (of_provider != providers_by_id_.end()) {
    keys.push_back({DocumentKind::kProvider, of_provider->second->name});
  }
  const std::string_view client = clients_.NameOf(token->client_id);
  if (!client.empty()) keys.push_back({DocumentKind::kClient, std::string(client)});
}

void TargetTable::CollectDocuments(const Ask& ask, std::vector<DocumentKey>& keys) const {
  for (const TargetName& target : ask.targets) {
    keys.push_back({DocumentKind::kProvider, std::string(target.provider)});
  }
  if (clients_.Knows(ask.client_name)) {
    keys.push_back({DocumentKind::kClient, std::string(ask.client_name)});
  }
}

std::vector<DocumentKey> TargetTable::DocumentsWithLeases(uint64_t reporter_id) const {
  std::vector<DocumentKey> keys;
  for (const auto& [name, provider] : providers_) {
    bool holds =
        provider->health.HasLeaseOf(reporter_id) || provider->limits.HasLeaseOf(reporter_id);
    for (const auto& [model, target] : provider->targets) {
      holds = holds || target->health.HasLeaseOf(reporter_id);
    }
    if (holds) keys.push_back({DocumentKind::kProvider, name});
  }
  for (std::string& name : clients_.Names()) {
    if (!clients_.LimitsOf(name)->HasLeaseOf(reporter_id)) continue;
    keys.push_back({DocumentKind::kClient, std::move(name)});
  }
  return keys;
}

std::vector<DocumentKey> TargetTable::Documents() const {
  std::vector<DocumentKey> keys;
  for (const auto& [name, provider] : providers_) keys.push_back({DocumentKind::kProvider, name});
  for (std::string& name : clients_.Names()) {
    keys.push_back({DocumentKind::kClient, std::move(name)});
  }
  return keys;
}

void TargetTable::ConfirmReport(std::string_view reporter, uint64_t sequence_number,
                                MonotonicTime now) {
  if (Reporter* known = reporters_.Find(reporter, now)) known->reports.Add(sequence_number);
}

bool TargetTable::Knows(const DocumentKey& key) const {
  if (key.kind == DocumentKind::kClient) return clients_.Knows(key.name);
  return FindProvider(key.name) != nullptr;
}

std::vector<FieldName> TargetTable::FieldsOf(const DocumentKey& key) const {
  std::vector<FieldName> names;
  if (key.kind == DocumentKind::kClient) {
    if (clients_.Knows(key.name)) names.push_back(NameOfClient(key.name));
    return names;
  }
  const Provider* provider = FindProvider(key.name);
  if (provider == nullptr) return names;
  names.push_back(NameOf(key.name, kProviderField));
  for (const auto& [model, target] : provider->targets) {
    names.push_back(NameOf(key.name, kTargetFieldPrefix, model));
  }
  return names;
}

const TargetTable::Entry* TargetTable::FindEntry(const FieldName& name) const {
  return Find({name.document.name, ModelOf(name)}).target;
}

TargetTable::FieldState TargetTable::WriteField(const FieldName& name, StateScope scope) const {
  if (name.document.kind == DocumentKind::kClient) {
    const Limits* limits = clients_.LimitsOf(name.document.name);
    if (limits == nullptr) return {};
    return Write(1, scope, [&](StateWriter& writer) { Limits::Exchange(writer, *limits); });
  }
  if (IsTarget(name)) {
    const Entry* entry = FindEntry(name);
    if (entry == nullptr) return {};
    return Write(entry->health.Layout(), scope,
                 [&](StateWriter& writer) { Health::Exchange(writer, entry->health); });
  }
  const Provider* provider = FindProvider(name.document.name);
  if (provider == nullptr) return {};
  return Write(provider->health.Layout(), scope,
               [&](StateWriter& writer) { ExchangeProvider(writer, *provider); });
}

std::string TargetTable::WriteUnknownField(DocumentKind kind) {
  const Limits limits;
  const Health health(Level::kTarget);
  const auto exchange = [&](StateWriter& writer) {
    if (kind == DocumentKind::kClient) return Limits::Exchange(writer, limits);
    Health::Exchange(writer, health);
  };
  return Write(1, StateScope::kDecisive, exchange).bytes;
}

Order TargetTable::OrderOf(std::string_view name) const {
  const Provider* provider = FindProvider(name);
  return provider == nullptr ? 0 : provider->order;
}

void TargetTable::RaiseOrder(std::string_view name, Order at_least) {
  Provider* provider = FindProvider(name);
  if (provider != nullptr) provider->order = std::max(provider->order, at_least);
}

void TargetTable::OnClockStep(microseconds step) {
  next_sweep_ += step;
  reporters_.OnClockStep(step);
}

bool TargetTable::ReadField(const FieldName& name, std::string_view bytes, microseconds shift,
                            MonotonicTime now) {
  if (name.document.kind == DocumentKind::kClient) {
    Limits* limits = clients_.LimitsOf(name.document.name);
    return limits == nullptr || ReadClient(*limits, bytes, shift);
  }
  if (IsTarget(name)) return ReadTarget(name, bytes, shift, now);
  Provider* provider = MakeProvider(name.document.name, now);
  return provider == nullptr || ReadProvider(*provider, bytes, shift, now);
}

bool TargetTable::ReadProvider(Provider& provider, std::string_view bytes, microseconds shift,
                               MonotonicTime now) {
  Provider read(provider.name);
  read.life = provider.life;
  if (!Read(bytes, shift, [&](StateReader& reader) { ExchangeProvider(reader, read); })) {
    return false;
  }
  read.health.TakeOverFrom(provider.health, *provider.settings, now);
  provider.life = read.life;
  provider.order = read.order;
  provider.credential_fingerprint = std::move(read.credential_fingerprint);
  provider.health = std::move(read.health);
  provider.limits = std::move(read.limits);
  provider.recent = std::move(read.recent);
  NoteVersion(provider);
  return true;
}

bool TargetTable::ReadTarget(const FieldName& name, std::string_view bytes, microseconds shift,
                             MonotonicTime now) {
  Health read(Level::kTarget);
  if (!Read(bytes, shift, [&](StateReader& reader) { Health::Exchange(reader, read); })) {
    return false;
  }
  const TargetName target{name.document.name, ModelOf(name)};
  Entry* entry = bytes.empty() ? Find(target).target : FindOrMake(target, now).target;
  if (entry == nullptr) return true;
  read.TakeOverFrom(entry->health, *entry->provider.settings, now);
  entry->health = std::move(read);
  NoteVersion(*entry);
  return true;
}

bool TargetTable::ReadClient(Limits& limits, std::string_view bytes, microseconds shift) {
  Limits read;
  if (!Read(bytes, shift, [&](StateReader& reader) { Limits::Exchange(reader, read); })) {
    return false;
  }
  limits = std::move(read);
  return true;
}

FailureWindow::Fresh TargetTable::FreshOf(const FieldName& name) const {
  if (name.document.kind == DocumentKind::kClient) return {};
  if (IsTarget(name)) {
    const Entry* entry = FindEntry(name);
    return entry == nullptr ? FailureWindow::Fresh() : entry->health.window().fresh();
  }
  const Provider* provider = FindProvider(name.document.name);
  return provider == nullptr ? FailureWindow::Fresh() : provider->health.window().fresh();
}

void TargetTable::SetFresh(const FieldName& name, const FailureWindow::Fresh& fresh) {
  if (name.document.kind == DocumentKind::kClient) return;
  const Found found = Find({name.document.name, IsTarget(name) ? ModelOf(name) : ""});
  if (IsTarget(name)) {
    if (found.target != nullptr) found.target->health.window().SetFresh(fresh);
  } else if (found.provider != nullptr) {
    found.provider->health.window().SetFresh(fresh);
  }
}

std::vector<KeyRecord> TargetTable::FactsOf(std::string_view provider_name,
                                            MonotonicTime now) const {
  std::vector<KeyRecord> facts;
  const Provider* provider = FindProvider(provider_name);
  if (provider == nullptr) return facts;
  facts.push_back({provider->name, "", provider->health.ToRecord(now)});
  facts.back().health.credential_fingerprint = provider->credential_fingerprint;
  for (const auto& [model, target] : provider->targets) {
    HealthRecord record = target->health.ToRecord(now);
    const bool was_ruled = record.ruling.since_word || record.ruling.since_reset;
    if (!record.IsEmpty() || was_ruled) facts.push_back({provider->name, model, std::move(record)});
  }
  // Each takes a number when it is merged: the same one everywhere.
  std::sort(facts.begin(), facts.end(),
            [](const KeyRecord& a, const KeyRecord& b) { return a.model < b.model; });
  return facts;
}

// A provider is reset with all its targets, also with those that the replica did not know where it
// was done.
void TargetTable::ForgetBeforeReset(Provider& provider, MonotonicTime now) {
  const MonotonicTime reset_at = provider.health.ruling().reset_at();
  for (auto& [model, target] : provider.targets) {
    if (!target->health.ForgetBefore(reset_at, now)) continue;
    NoteVersion(*target);
    Touch(*target);
  }
}

void TargetTable::Reassert(const KeyRecord& record, MonotonicTime now) {
  Provider* provider = MakeProvider(record.provider, now);
  if (provider == nullptr) return;
  if (record.model.empty()) {
    provider->health.Reassert(record.health, {}, now, provider->order);
    ForgetBeforeReset(*provider, now);
    if (provider->credential_fingerprint.empty()) {
      provider->credential_fingerprint = record.health.credential_fingerprint;
    }
    NoteVersion(*provider);
    Touch(*provider);
    return;
  }
  const Found found = FindOrMake({record.provider, record.model}, now);
  if (found.target == nullptr) return;
  const MonotonicTime reset_at = found.provider->health.ruling().reset_at();
  found.target->health.Reassert(record.health, reset_at, now, found.provider->order);
  NoteVersion(*found.target);
  Touch(*found.provider);
  Touch(*found.target);
}

}  // namespace ratelimitd
