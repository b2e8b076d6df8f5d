#include "ratelimitd/store/sqlite_store.h"

#include <algorithm>

#include "common/concat.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kRetryInterval = std::chrono::seconds(1);

}  // namespace

SqliteStore::SqliteStore(std::string path, const common::Clock& clock)
    : path_(std::move(path)), clock_(clock) {}

SqliteStore::~SqliteStore() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (writer_.joinable()) writer_.join();
}

absl::StatusOr<std::vector<StampedRecord>> SqliteStore::OpenAndRead() {
  auto database = HealthDatabase::Open(path_);
  if (!database.ok()) return database.status();
  auto rows = (*database)->ReadAll();
  if (rows.ok()) database_ = *std::move(database);
  return rows;
}

absl::StatusOr<std::vector<StoredRecord>> SqliteStore::Load() {
  auto rows = OpenAndRead();
  const common::WallTime now = clock_.Wall();
  if (absl::IsDataLoss(rows.status())) {
    const auto stamp = std::chrono::duration_cast<milliseconds>(now.time_since_epoch()).count();
    auto aside = SetDatabaseAside(path_, std::to_string(stamp));
    if (!aside.ok()) return aside.status();
    set_aside_ = *aside;
    damage_ = std::string(rows.status().message());
    rows = OpenAndRead();
  }
  if (!rows.ok()) return rows.status();

  std::vector<StoredRecord> records;
  std::vector<StampedRecord> outdated;
  for (StampedRecord& row : *rows) {
    auto record = AgeRow(row, now);
    if (record) {
      records.push_back(*std::move(record));
    } else {
      outdated.push_back({{row.record.provider, row.record.model, {}}, now});
    }
  }
  if (!outdated.empty()) database_->Write(outdated).IgnoreError();
  return records;
}

void SqliteStore::Start(StoreEvents events) {
  events_ = std::move(events);
  writer_ = std::thread([this] { Run(); });
}

uint64_t SqliteStore::Put(std::vector<KeyRecord> records, common::WallTime now) {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(mutex_);
    for (KeyRecord& record : records) {
      Key key(record.provider, record.model);
      pending_.insert_or_assign(std::move(key), StampedRecord{std::move(record), now});
    }
    ticket = ++last_ticket_;
  }
  changed_.notify_all();
  return ticket;
}

void SqliteStore::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopping_ || !pending_.empty(); });
    if (is_stopping_) return;
    Pending batch = std::exchange(pending_, {});
    const uint64_t ticket = last_ticket_;
    lock.unlock();
    Commit(std::move(batch), ticket);
    lock.lock();
    if (durable_ < ticket) {
      changed_.wait_for(lock, kRetryInterval, [this] { return is_stopping_; });
    }
  }
}

void SqliteStore::Commit(Pending batch, uint64_t ticket) {
  std::vector<StampedRecord> records;
  records.reserve(batch.size());
  for (const auto& [key, record] : batch) records.push_back(record);
  const absl::Status status = database_->Write(records);
  events_.on_commit(status, records.size());
  if (!status.ok()) {
    PutBack(std::move(batch));
    return;
  }
  {
    std::lock_guard lock(mutex_);
    durable_ = ticket;
  }
  changed_.notify_all();
  events_.on_durable(ticket);
}

void SqliteStore::PutBack(Pending batch) {
  std::lock_guard lock(mutex_);
  // What was put meanwhile is newer and stays.
  for (auto& [key, record] : batch) pending_.try_emplace(key, std::move(record));
}

bool SqliteStore::Flush(milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const uint64_t wanted = last_ticket_;
  return changed_.wait_for(lock, timeout, [&] { return durable_ >= wanted; });
}

}  // namespace ratelimitd
