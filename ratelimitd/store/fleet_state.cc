#include "ratelimitd/store/fleet_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "ratelimitd/core/stable_hash.h"

namespace ratelimitd {
namespace {

using std::chrono::microseconds;

constexpr std::string_view kMetaField = "m";
// Writers remembered in a document; one that was dropped merges its facts once more.
constexpr size_t kMaxWriters = 16;
// Commits without a reply that are remembered for each document.
constexpr size_t kMaxUnconfirmed = 8;
// A document outlives the last moment in it, so that counts that fade need no moment of their own.
constexpr milliseconds kLifeBeyond = std::chrono::hours(1);
constexpr milliseconds kLongestLife = std::chrono::hours(24 * 40);
// How much the order of events rises when facts are merged: tokens of what was lost are then older
// than the facts.
constexpr Order kOrderGap = 1'000'000;

// Whether others may need to hear of it: also that there is nothing any more, since an operator
// said so, when they may still know what there was.
bool SaysSomething(const KeyRecord& record) {
  const OperatorOverride::Record& ruling = record.health.ruling;
  const bool was_ruled = ruling.since_word && *ruling.since_word < kLifeBeyond;
  const bool was_reset = ruling.since_reset && *ruling.since_reset < kLifeBeyond;
  return was_ruled || was_reset || !record.health.IsEmpty();
}

uint64_t DecisiveHash(const TargetTable& table, const FieldName& name) {
  return StableHash(table.WriteField(name, StateScope::kDecisive).bytes);
}

}  // namespace

std::vector<DocumentRead> FleetState::Reads(const TargetTable& table,
                                            std::span<const DocumentKey> keys) const {
  std::vector<DocumentRead> reads;
  reads.reserve(keys.size());
  for (const DocumentKey& key : keys) {
    const auto known = documents_.find(key);
    // What the table has forgotten for want of room must be read again.
    const bool is_known = known != documents_.end() && table.Knows(key);
    reads.push_back({key, is_known ? known->second.version : std::string()});
  }
  return reads;
}

void FleetState::Import(TargetTable& table, std::span<const DocumentKey> keys,
                        const LoadResult& loaded, MonotonicTime estimate) {
  const MonotonicTime now = ToMonotonic(loaded.now);
  const microseconds step = clock_.Note(estimate, now);
  if (step != microseconds(0)) OnClockStep(table, step, now);
  // What others did to the table between two runs, time will bring again.
  table.TakeTouched();
  for (size_t i = 0; i < keys.size() && i < loaded.documents.size(); ++i) {
    imported_.insert(keys[i]);
    Read(table, keys[i], loaded.documents[i], now);
  }
}

// Every moment of the table is moved at once, also of what this run does not concern: no later step
// could tell by how much.
void FleetState::OnClockStep(TargetTable& table, microseconds step, MonotonicTime now) {
  table.OnClockStep(step);
  for (auto& [key, document] : documents_) {
    if (ahead_.contains(key)) KeepFacts(table, key, document, now - step);
    document.facts.at = now;
    document.shift += step;
    for (const FieldName& name : table.FieldsOf(key)) RollBack(table, name, now);
    document.must_rewrite = true;
    ahead_.insert(key);
    MergeFacts(table, document, now);
    // In terms of the new clock they are in the table now, and kept anew when the document is read.
    document.facts = {};
    ++counts_.clock_steps;
  }
}

void FleetState::Read(TargetTable& table, const DocumentKey& key, const LoadedDocument& loaded,
                      MonotonicTime now) {
  Document& document = documents_[key];
  if (ahead_.contains(key)) KeepFacts(table, key, document, now);
  switch (loaded.state) {
    case LoadedDocument::State::kUnchanged:
      if (document.is_rolled_back) MergeFacts(table, document, now);
      return;
    case LoadedDocument::State::kMissing:
      return OnMissing(table, key, document, now);
    case LoadedDocument::State::kChanged:
      break;
  }
  document.version = loaded.version;
  document.must_rewrite = false;
  document.shift = microseconds(0);
  document.writers.clear();
  for (const auto& [name, bytes] : loaded.fields) {
    if (name == kMetaField) ReadMeta(document, bytes);
  }
  ConfirmShown(table, document);
  if (OwnNumber(document) < document.own_number) {
    KeepFacts(table, key, document, now);
    ahead_.insert(key);
  }
  ReadFields(table, key, loaded, document, now);
  if (!ahead_.contains(key)) return;
  ++counts_.reasserted;
  MergeFacts(table, document, now);
}

void FleetState::OnMissing(TargetTable& table, const DocumentKey& key, Document& document,
                           MonotonicTime now) {
  const bool was_there = !document.version.empty();
  document.version.clear();
  document.fields.clear();
  document.writers.clear();
  document.shift = microseconds(0);
  if (was_there) {
    KeepFacts(table, key, document, now);
    const auto& records = document.facts.records;
    // Otherwise it has expired, as it should.
    if (std::any_of(records.begin(), records.end(), SaysSomething)) {
      ++counts_.reasserted;
      ahead_.insert(key);
      document.must_rewrite = true;
    }
  }
  if (document.is_rolled_back) MergeFacts(table, document, now);
}

void FleetState::ReadFields(TargetTable& table, const DocumentKey& key,
                            const LoadedDocument& loaded, Document& document, MonotonicTime now) {
  const NameMap<Field> old_fields = std::exchange(document.fields, {});
  for (const auto& [name, bytes] : loaded.fields) {
    if (name == kMetaField) continue;
    const FieldName field{key, name};
    const auto old = old_fields.find(name);
    const bool is_same = old != old_fields.end() && old->second.bytes == bytes &&
                         document.shift == microseconds(0) &&
                         DecisiveHash(table, field) == old->second.decisive_hash;
    if (!is_same && !table.ReadField(field, bytes, document.shift, now)) {
      ++counts_.unreadable;
      document.must_rewrite = true;
      continue;
    }
    const TargetTable::FieldState read = table.WriteField(field, StateScope::kDecisive);
    document.fields.insert_or_assign(name, Field{bytes, StableHash(read.bytes), read.latest});
  }
  if (document.must_rewrite) return;
  for (const FieldName& field : table.FieldsOf(key)) {
    if (!document.fields.contains(field.field)) table.ReadField(field, "", microseconds(0), now);
  }
}

void FleetState::ReadMeta(Document& document, std::string_view bytes) {
  StateReader reader(bytes, microseconds(0));
  MonotonicTime written_at;
  reader.Time(written_at);
  reader.List(document.writers, kMaxWriters, [&](Writer& writer) {
    reader.Number(writer.replica_id);
    reader.Number(writer.number);
  });
  if (!reader.IsSound()) document.writers.clear();
  document.shift = clock_.ShiftSince(written_at);
  if (document.shift == microseconds(0)) return;
  document.must_rewrite = true;
  ++counts_.clock_steps;
}

uint64_t FleetState::OwnNumber(const Document& document) const {
  const auto is_own = [&](const Writer& writer) { return writer.replica_id == replica_id_; };
  const auto own = std::find_if(document.writers.begin(), document.writers.end(), is_own);
  return own == document.writers.end() ? 0 : own->number;
}

void FleetState::KeepUnconfirmed() {
  for (Pending& pending : pending_) {
    std::vector<Unconfirmed>& unconfirmed = documents_[pending.write.key].unconfirmed;
    if (unconfirmed.size() == kMaxUnconfirmed) unconfirmed.erase(unconfirmed.begin());
    unconfirmed.push_back({pending.number, std::move(pending.fresh)});
  }
}

// What a commit has told is no news any more, though nobody has confirmed it.
void FleetState::ConfirmShown(TargetTable& table, Document& document) {
  const uint64_t shown = OwnNumber(document);
  for (const Unconfirmed& commit : document.unconfirmed) {
    if (commit.number != shown) continue;
    for (const auto& [name, told] : commit.fresh) {
      FailureWindow::Fresh left = table.FreshOf(name);
      left.admissions -= std::min(left.admissions, told.admissions);
      left.successes -= std::min(left.successes, told.successes);
      table.SetFresh(name, left);
      NoteFresh(table, name);
    }
    document.own_number = shown;
    document.unconfirmed.clear();
    return;
  }
}

void FleetState::KeepFacts(TargetTable& table, const DocumentKey& key, Document& document,
                           MonotonicTime now) {
  if (key.kind != DocumentKind::kProvider || !document.facts.records.empty()) return;
  document.facts = {table.FactsOf(key.name, now), now, table.OrderOf(key.name)};
}

void FleetState::MergeFacts(TargetTable& table, Document& document, MonotonicTime now) {
  document.must_rewrite = true;
  document.is_rolled_back = false;
  if (document.facts.records.empty()) return;
  const auto age = std::chrono::duration_cast<milliseconds>(now - document.facts.at);
  table.RaiseOrder(document.facts.records.front().provider, document.facts.order + kOrderGap);
  for (const KeyRecord& record : document.facts.records) {
    table.Reassert({record.provider, record.model, AgeRecord(record.health, age)}, now);
  }
}

bool FleetState::IsDecisive(const TargetTable& table, const Document& document,
                            const FieldName& name) const {
  const auto known = document.fields.find(name.field);
  if (known != document.fields.end()) {
    return DecisiveHash(table, name) != known->second.decisive_hash;
  }
  // A provider's life and order are to be agreed before anybody gets a token.
  if (name.field == kProviderField) return true;
  return DecisiveHash(table, name) !=
         StableHash(TargetTable::WriteUnknownField(name.document.kind));
}

std::vector<DocumentWrite> FleetState::Changes(TargetTable& table, MonotonicTime now) {
  touched_ = table.TakeTouched();
  std::map<DocumentKey, std::set<std::string>> changed;
  std::set<DocumentKey> decisive;
  for (const FieldName& name : touched_) {
    const Document& document = documents_[name.document];
    changed[name.document].insert(name.field);
    if (IsDecisive(table, document, name)) decisive.insert(name.document);
  }
  for (const DocumentKey& key : imported_) {
    if (documents_[key].must_rewrite && table.Knows(key)) decisive.insert(key);
  }
  pending_.clear();
  for (const DocumentKey& key : decisive) {
    for (auto it = fresh_.lower_bound({key, ""}); it != fresh_.end() && it->first.document == key;
         ++it) {
      changed[key].insert(it->first.field);
    }
    AddWrite(table, key, changed[key], now);
  }
  if (pending_.empty()) OnCommitted(table);
  return Writes();
}

void FleetState::NoteFresh(const TargetTable& table, const FieldName& name) {
  const FailureWindow::Fresh fresh = table.FreshOf(name);
  if (fresh == FailureWindow::Fresh()) {
    fresh_.erase(name);
  } else {
    fresh_[name] = fresh;
  }
}

std::vector<DocumentWrite> FleetState::FreshCounts(TargetTable& table, MonotonicTime now) {
  std::map<DocumentKey, std::set<std::string>> changed;
  for (const auto& [name, fresh] : fresh_) changed[name.document].insert(name.field);
  touched_.clear();
  pending_.clear();
  for (const auto& [key, fields] : changed) {
    // That there is no room for a provider here is no reason to erase it for everybody.
    if (table.Knows(key)) AddWrite(table, key, fields, now);
  }
  return Writes();
}

void FleetState::AddWrite(const TargetTable& table, const DocumentKey& key,
                          const std::set<std::string>& fields, MonotonicTime now) {
  const Document& document = documents_[key];
  Pending pending;
  pending.number = ++last_number_;
  DocumentWrite& write = pending.write;
  write.key = key;
  write.expected_version = document.version;
  write.new_version = absl::StrCat(absl::Hex(replica_id_), ".", pending.number);
  std::set<std::string> names = fields;
  const std::vector<FieldName> all = table.FieldsOf(key);
  const bool is_whole = document.must_rewrite || document.version.empty();
  for (const FieldName& name : all) {
    if (is_whole) names.insert(name.field);
  }
  if (document.fields.size() >= all.size()) {
    std::set<std::string> alive;
    for (const FieldName& name : all) alive.insert(name.field);
    for (const auto& [name, field] : document.fields) {
      if (!alive.contains(name)) write.erased_fields.push_back(name);
    }
  }
  MonotonicTime latest = now;
  for (const auto& [name, field] : document.fields) latest = std::max(latest, field.latest);
  for (const std::string& name : names) {
    const FieldName full{key, name};
    TargetTable::FieldState whole = table.WriteField(full, StateScope::kWhole);
    if (whole.bytes.empty()) continue;
    latest = std::max(latest, whole.latest);
    const FailureWindow::Fresh fresh = table.FreshOf(full);
    if (fresh != FailureWindow::Fresh()) pending.fresh.emplace_back(full, fresh);
    const auto known = document.fields.find(name);
    const bool is_known = known != document.fields.end() && known->second.bytes == whole.bytes;
    if (!is_known || is_whole) write.set_fields.emplace_back(name, whole.bytes);
    pending.fields.emplace_back(
        name, Field{std::move(whole.bytes), DecisiveHash(table, full), whole.latest});
  }
  StateWriter meta(StateScope::kWhole);
  meta.Time(now);
  std::vector<Writer> writers = document.writers;
  std::erase_if(writers, [&](const Writer& writer) { return writer.replica_id == replica_id_; });
  if (writers.size() >= kMaxWriters) writers.erase(writers.begin());
  writers.push_back({replica_id_, pending.number});
  meta.List(writers, kMaxWriters, [&](const Writer& writer) {
    meta.Number(writer.replica_id);
    meta.Number(writer.number);
  });
  write.set_fields.emplace_back(kMetaField, meta.TakeBytes());
  const auto life = std::chrono::ceil<milliseconds>(latest - now) + kLifeBeyond;
  write.lifetime = std::min(life, kLongestLife);
  pending_.push_back(std::move(pending));
}

std::vector<DocumentWrite> FleetState::Writes() const {
  std::vector<DocumentWrite> writes;
  writes.reserve(pending_.size());
  for (const Pending& pending : pending_) writes.push_back(pending.write);
  return writes;
}

void FleetState::OnCommitted(TargetTable& table) {
  for (Pending& pending : pending_) {
    const DocumentKey& key = pending.write.key;
    Document& document = documents_[key];
    // Before the fields: those of an older clock that were not written again still need it.
    if (document.must_rewrite) document.shift = microseconds(0);
    document.version = pending.write.new_version;
    document.own_number = pending.number;
    document.unconfirmed.clear();
    document.must_rewrite = false;
    document.is_rolled_back = false;
    document.facts = {};
    std::erase_if(document.writers,
                  [&](const Writer& writer) { return writer.replica_id == replica_id_; });
    document.writers.push_back({replica_id_, pending.number});
    if (document.writers.size() > kMaxWriters) document.writers.erase(document.writers.begin());
    for (const std::string& name : pending.write.erased_fields) document.fields.erase(name);
    for (auto& [name, field] : pending.fields) {
      const FieldName full{key, name};
      table.SetFresh(full, {});
      fresh_.erase(full);
      document.fields.insert_or_assign(name, std::move(field));
    }
    ahead_.erase(key);
  }
  pending_.clear();
  for (const FieldName& name : touched_) NoteFresh(table, name);
  touched_.clear();
  imported_.clear();
}

void FleetState::OnUnconfirmed(TargetTable& table, MonotonicTime now) {
  KeepUnconfirmed();
  RollBackRun(table, now);
}

void FleetState::OnConflict(TargetTable& table, MonotonicTime now) {
  ++counts_.conflicts;
  RollBackRun(table, now);
}

void FleetState::RollBackRun(TargetTable& table, MonotonicTime now) {
  for (const FieldName& name : touched_) {
    RollBack(table, name, now);
    Document& document = documents_[name.document];
    document.is_rolled_back = !document.facts.records.empty();
  }
  touched_.clear();
  pending_.clear();
}

void FleetState::RollBack(TargetTable& table, const FieldName& name, MonotonicTime now) {
  const auto fresh = fresh_.find(name);
  table.SetFresh(name, fresh == fresh_.end() ? FailureWindow::Fresh() : fresh->second);
  const Document& document = documents_[name.document];
  const auto known = document.fields.find(name.field);
  const bool is_known = known != document.fields.end();
  table.ReadField(name, is_known ? std::string_view(known->second.bytes) : std::string_view(),
                  document.shift, now);
}

void FleetState::OnOutage(TargetTable& table) {
  KeepUnconfirmed();
  for (const Pending& pending : pending_) ahead_.insert(pending.write.key);
  pending_.clear();
  if (touched_.empty()) touched_ = table.TakeTouched();
  for (const FieldName& name : touched_) {
    if (IsDecisive(table, documents_[name.document], name)) ahead_.insert(name.document);
    NoteFresh(table, name);
  }
  touched_.clear();
  imported_.clear();
  // Facts are kept when they are to be merged, not before: they are still being learned.
  for (const DocumentKey& key : ahead_) {
    Document& document = documents_[key];
    document.facts = {};
    document.is_rolled_back = false;
    document.must_rewrite = true;
  }
}

std::vector<DocumentKey> FleetState::DocumentsAhead(size_t most) const {
  std::vector<DocumentKey> keys;
  for (const DocumentKey& key : ahead_) {
    if (keys.size() == most) break;
    keys.push_back(key);
  }
  return keys;
}

void FleetState::Prune(const TargetTable& table) {
  absl::erase_if(documents_, [&](const auto& item) {
    return !ahead_.contains(item.first) && !table.Knows(item.first);
  });
  std::erase_if(fresh_, [&](const auto& item) {
    return table.WriteField(item.first, StateScope::kDecisive).bytes.empty();
  });
}

}  // namespace ratelimitd
