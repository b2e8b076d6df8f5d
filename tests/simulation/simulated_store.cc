#include "tests/simulation/simulated_store.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kRetryInterval = 1s;

}  // namespace

SimulatedStore::SimulatedStore(Disk& disk, EventQueue& events, Random random)
    : disk_(disk), events_(events), random_(random) {}

absl::StatusOr<std::vector<ratelimitd::StoredRecord>> SimulatedStore::Load() {
  return disk_.Read().records;
}

uint64_t SimulatedStore::Put(std::vector<ratelimitd::KeyRecord> records, common::WallTime now) {
  for (ratelimitd::KeyRecord& record : records) {
    std::pair<std::string, std::string> key(record.provider, record.model);
    pending_.insert_or_assign(std::move(key), Disk::Row{{std::move(record), now}, events_.now()});
  }
  if (!is_committing_) CommitLater(random_.Between(100us, 20ms));
  return ++last_ticket_;
}

void SimulatedStore::CommitLater(nanoseconds wait) {
  is_committing_ = true;
  events_.After(wait, [this, is_alive = is_alive_] {
    if (!*is_alive) return;
    is_committing_ = false;
    if (!Commit()) {
      CommitLater(kRetryInterval);
    } else if (!pending_.empty()) {
      CommitLater(random_.Between(100us, 20ms));
    }
  });
}

bool SimulatedStore::Commit() {
  std::vector<Disk::Row> rows;
  for (const auto& [key, row] : pending_) rows.push_back(row);
  if (!disk_.Write(rows)) return false;
  pending_.clear();
  on_.on_durable(last_ticket_);
  return true;
}

bool SimulatedStore::Flush(milliseconds) { return pending_.empty() || Commit(); }

}  // namespace simulation
