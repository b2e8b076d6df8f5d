#include "ratelimitd/io/fleet_runner.h"

#include <algorithm>
#include <utility>

namespace ratelimitd {
namespace {

// Somebody's commit succeeds at each attempt, so that the last one of many replicas gets through.
constexpr int kMaxAttempts = 32;
constexpr size_t kMaxAheadPerRun = 64;
constexpr size_t kMaxRefreshed = 512;
constexpr size_t kMaxHosts = 64;

std::vector<DocumentKey> KeysOf(const std::vector<DocumentWrite>& writes) {
  std::vector<DocumentKey> keys;
  keys.reserve(writes.size());
  for (const DocumentWrite& write : writes) keys.push_back(write.key);
  return keys;
}

}  // namespace

FleetRunner::FleetRunner(SharedTable& table, SharedStateStore& store, DurableWaiters& waiters,
                         uint64_t replica_id)
    : table_(table), store_(store), waiters_(waiters), state_(replica_id) {
  // Until the store has told its time, this host's date is the best guess.
  const common::Clock& clock = table.clock();
  const auto date = std::chrono::duration_cast<StoreTime>(clock.Wall().time_since_epoch());
  table_.UpdateAt(ToMonotonic(date),
                  [&](TargetTable& t, auto) { t.BeginSharing(replica_id & 0xfffff); });
}

std::vector<DocumentKey> FleetRunner::CollectKeys(std::span<FleetJob* const> jobs) {
  std::vector<DocumentKey> keys;
  table_.Update([&](TargetTable& table, auto) {
    for (const FleetJob* job : jobs) job->Collect(table, keys);
  });
  return keys;
}

FleetOutcome FleetRunner::Run(std::span<FleetJob* const> jobs) {
  return RunOn(CollectKeys(jobs), jobs);
}

FleetOutcome FleetRunner::RunOn(std::vector<DocumentKey> keys, std::span<FleetJob* const> jobs) {
  for (DocumentKey& key : state_.DocumentsAhead(kMaxAheadPerRun)) keys.push_back(std::move(key));
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());

  MonotonicTime asked_at;
  std::vector<DocumentRead> reads;
  table_.Update([&](TargetTable& table, auto next_moment) {
    asked_at = next_moment().now;
    reads = state_.Reads(table, keys);
  });
  auto loaded = store_.Load(reads);
  if (!loaded.ok()) return DecideAlone(jobs);
  for (int attempt = 1;; ++attempt) {
    const std::vector<DocumentWrite> writes = Decide(keys, *loaded, asked_at, jobs);
    if (writes.empty()) return Finish(jobs);
    if (attempt > kMaxAttempts) return FinishDegraded(jobs);
    asked_at = TableTime();
    auto committed = store_.Commit(writes);
    if (!committed.ok()) return FinishDegraded(jobs);
    if (committed->is_committed) {
      table_.Update([&](TargetTable& table, auto) { state_.OnCommitted(table); });
      return Finish(jobs);
    }
    table_.Update(
        [&](TargetTable& table, auto next_moment) { state_.OnConflict(table, next_moment().now); });
    keys = KeysOf(writes);
    *loaded = std::move(committed->current);
  }
}

std::vector<DocumentWrite> FleetRunner::Decide(std::span<const DocumentKey> keys,
                                               const LoadResult& loaded, MonotonicTime asked_at,
                                               std::span<FleetJob* const> jobs) {
  // The store has read its clock between the question and now.
  const MonotonicTime estimate = std::clamp(ToMonotonic(loaded.now), asked_at, TableTime());
  std::vector<DocumentWrite> writes;
  table_.UpdateAt(ToMonotonic(loaded.now), [&](TargetTable& table, auto next_moment) {
    state_.Import(table, keys, loaded, estimate);
    table.BeginRun();
    for (FleetJob* job : jobs) job->Work(table, next_moment);
    writes = state_.Changes(table, next_moment().now);
  });
  return writes;
}

MonotonicTime FleetRunner::TableTime() {
  MonotonicTime now;
  table_.Update([&](TargetTable&, auto next_moment) { now = next_moment().now; });
  return now;
}

FleetOutcome FleetRunner::Finish(std::span<FleetJob* const> jobs) {
  is_degraded_ = false;
  const FleetOutcome outcome;
  table_.Update([&](TargetTable& table, auto next_moment) {
    for (FleetJob* job : jobs) job->Confirm(table, outcome, next_moment().now);
  });
  ReleaseWaiters();
  return outcome;
}

void FleetRunner::ReleaseWaiters() {
  if (!is_ahead_ || state_.IsAhead()) return;
  is_ahead_ = false;
  waiters_.OnDurable(outage_ticket_++);
}

FleetOutcome FleetRunner::DecideAlone(std::span<FleetJob* const> jobs) {
  table_.Update([&](TargetTable& table, auto next_moment) {
    table.BeginRun();
    for (FleetJob* job : jobs) job->Work(table, next_moment);
  });
  return FinishDegraded(jobs);
}

FleetOutcome FleetRunner::FinishDegraded(std::span<FleetJob* const> jobs) {
  is_degraded_ = true;
  is_ahead_ = true;
  const FleetOutcome outcome{.is_degraded = true, .ticket = outage_ticket_};
  table_.Update([&](TargetTable& table, auto next_moment) {
    state_.OnOutage(table);
    for (FleetJob* job : jobs) job->Confirm(table, outcome, next_moment().now);
  });
  return outcome;
}

void FleetRunner::Flush() {
  std::vector<DocumentWrite> writes;
  table_.Update([&](TargetTable& table, auto next_moment) {
    writes = state_.FreshCounts(table, next_moment().now);
  });
  if (writes.empty()) return;
  const MonotonicTime asked_at = TableTime();
  auto committed = store_.Commit(writes);
  if (committed.ok() && committed->is_committed) {
    table_.Update([&](TargetTable& table, auto) { state_.OnCommitted(table); });
    return;
  }
  if (!committed.ok()) {
    table_.Update([&](TargetTable& table, auto next_moment) {
      state_.OnUnconfirmed(table, next_moment().now);
    });
    return;
  }
  table_.Update(
      [&](TargetTable& table, auto next_moment) { state_.OnConflict(table, next_moment().now); });
  // Reads what has come between; the counts are written the next time.
  const std::vector<DocumentKey> keys = KeysOf(writes);
  if (Decide(keys, committed->current, asked_at, {}).empty()) return;
  is_ahead_ = true;
  table_.Update([&](TargetTable& table, auto) { state_.OnOutage(table); });
}

void FleetRunner::Refresh() {
  std::vector<DocumentKey> known;
  std::vector<uint64_t> hosts;
  table_.Update([&](TargetTable& table, auto next_moment) {
    state_.Prune(table);
    known = table.Documents();
    hosts = table.LiveHosts(next_moment().now, kMaxHosts);
  });
  // In an order that stays when others come, so that a round leaves none out.
  std::sort(known.begin(), known.end());
  if (refreshed_ >= known.size() || known.size() <= kMaxRefreshed) refreshed_ = 0;
  const size_t count = std::min(kMaxRefreshed, known.size() - refreshed_);
  const auto first = known.begin() + static_cast<ptrdiff_t>(refreshed_);
  refreshed_ += count;
  RunOn({first, first + static_cast<ptrdiff_t>(count)}, {});
  auto shared = store_.ShareHosts(hosts);
  if (!shared.ok()) return;
  table_.Update([&](TargetTable& table, auto next_moment) {
    table.LearnFleetHosts(std::move(*shared), next_moment().now);
  });
  HearOfProviders({first, first + static_cast<ptrdiff_t>(count)}, known);
}

// Whoever asks this replica about a provider that only others were asked for is to be told, too.
void FleetRunner::HearOfProviders(const std::vector<DocumentKey>& told,
                                  const std::vector<DocumentKey>& known) {
  std::vector<std::string> names;
  for (const DocumentKey& key : told) {
    if (key.kind == DocumentKind::kProvider) names.push_back(key.name);
  }
  const auto heard = store_.ShareProviders(names);
  if (!heard.ok()) return;
  // What is known here, because somebody asked, does not make room for what is only heard of.
  size_t most = 0;
  table_.Update(
      [&](TargetTable& table, auto) { most = std::min(kMaxRefreshed, table.Room() / 2); });
  std::vector<DocumentKey> unknown;
  for (const std::string& name : *heard) {
    DocumentKey key{DocumentKind::kProvider, name};
    const bool is_known = std::binary_search(known.begin(), known.end(), key);
    if (!is_known && unknown.size() < most) unknown.push_back(std::move(key));
  }
  if (!unknown.empty()) RunOn(std::move(unknown), {});
}

}  // namespace ratelimitd
