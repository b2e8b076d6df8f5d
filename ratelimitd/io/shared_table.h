// The table of targets as all threads of the server share it: one mutex, no I/O under it. Hands the
// consequences of every update to the store, in the order in which they took effect.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <random>
#include <vector>

#include "common/clock.h"
#include "ratelimitd/core/target_table.h"
#include "ratelimitd/store/state_store.h"

namespace ratelimitd {

class SharedTable {
 public:
  // The clock and the store must outlive it. `seed` feeds chance.
  SharedTable(TableSettings settings, uint64_t seed, const common::Clock& clock, StateStore& store);

  // Puts back what survived the last run.
  void Restore(const std::vector<StoredRecord>& records);

  // Runs work(table, next_moment) under the mutex. next_moment() gives the same `now` with fresh
  // chance at each call. Returns the ticket of the store under which everything that any update has
  // caused so far is durable.
  template <typename Work>
  uint64_t Update(Work work) {
    const std::lock_guard lock(mutex_);
    const common::MonotonicTime now = clock_.Monotonic() + offset_;
    work(table_, [this, now] { return Moment{now, NextChance()}; });
    Settle(now);
    return last_ticket_;
  }

  // As Update, at a time that somebody else tells; from then on the table's time goes on from it.
  template <typename Work>
  void UpdateAt(common::MonotonicTime now, Work work) {
    const std::lock_guard lock(mutex_);
    offset_ = now - clock_.Monotonic();
    work(table_, [this, now] { return Moment{now, NextChance()}; });
    Settle(now);
  }

  // Called after an update that people may see, on the updating thread, under the mutex: it must
  // only wake somebody.
  void OnVisibleChange(std::function<void()> wake) {
    const std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
  }

  const common::Clock& clock() const { return clock_; }

 private:
  double NextChance();
  void Settle(common::MonotonicTime now);

  const common::Clock& clock_;
  StateStore& store_;
  std::mutex mutex_;
  std::function<void()> wake_ = [] {};  // guarded by mutex_
  std::mt19937_64 random_;              // guarded by mutex_
  TargetTable table_;                   // guarded by mutex_
  // From this host's clock to the table's.
  common::MonotonicTime::duration offset_{0};  // guarded by mutex_
  uint64_t last_ticket_ = 0;                   // guarded by mutex_
  uint64_t seen_version_ = 0;                  // guarded by mutex_
};

}  // namespace ratelimitd
