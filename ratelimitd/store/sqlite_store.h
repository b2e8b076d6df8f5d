// The default store: one sqlite file, written behind by one thread. What is put while a commit runs
// shares the next one.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "ratelimitd/store/health_database.h"
#include "ratelimitd/store/state_store.h"

namespace ratelimitd {

class SqliteStore final : public StateStore {
 public:
  // `clock` must outlive it.
  SqliteStore(std::string path, const common::Clock& clock);
  // Stops the writer; what it has not committed yet is lost, so Flush before.
  ~SqliteStore() override;

  // Sets a damaged file aside and starts empty. Errors: those of HealthDatabase::Open that an
  // operator must repair.
  absl::StatusOr<std::vector<StoredRecord>> Load() override;
  void Start(StoreEvents events) override;
  uint64_t Put(std::vector<KeyRecord> records, common::WallTime now) override;
  bool Flush(milliseconds timeout) override;

  // After Load: where the damaged file went; empty when it was sound.
  const std::string& set_aside() const { return set_aside_; }
  // What was wrong with it: damage, or the form of another version.
  const std::string& damage() const { return damage_; }

 private:
  using Key = std::pair<std::string, std::string>;
  using Pending = absl::flat_hash_map<Key, StampedRecord>;

  absl::StatusOr<std::vector<StampedRecord>> OpenAndRead();
  void Run();
  void Commit(Pending batch, uint64_t ticket);
  void PutBack(Pending batch);

  const std::string path_;
  const common::Clock& clock_;
  std::unique_ptr<HealthDatabase> database_;  // the writer's, once started
  std::string set_aside_;
  std::string damage_;
  StoreEvents events_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Pending pending_;           // guarded by mutex_
  uint64_t last_ticket_ = 0;  // guarded by mutex_
  uint64_t durable_ = 0;      // guarded by mutex_
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread writer_;
};

}  // namespace ratelimitd
