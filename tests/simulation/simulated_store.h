// The store of one life of ratelimitd: written behind like the production's, with the simulation's
// events in the place of a thread. What is put while a commit runs shares the next one. Not
// thread-safe.
#pragma once

#include <map>
#include <memory>

#include "ratelimitd/store/state_store.h"
#include "tests/simulation/disk.h"
#include "tests/simulation/event_queue.h"

namespace simulation {

class SimulatedStore final : public ratelimitd::StateStore {
 public:
  // All must outlive it; the events may outlive it.
  SimulatedStore(Disk& disk, EventQueue& events, Random random);
  ~SimulatedStore() override { *is_alive_ = false; }

  absl::StatusOr<std::vector<ratelimitd::StoredRecord>> Load() override;
  void Start(ratelimitd::StoreEvents events) override { on_ = std::move(events); }
  uint64_t Put(std::vector<ratelimitd::KeyRecord> records, common::WallTime now) override;
  // Commits at once.
  bool Flush(milliseconds timeout) override;

 private:
  using Pending = std::map<std::pair<std::string, std::string>, Disk::Row>;
  void CommitLater(nanoseconds wait);
  bool Commit();

  Disk& disk_;
  EventQueue& events_;
  Random random_;
  ratelimitd::StoreEvents on_;
  Pending pending_;
  uint64_t last_ticket_ = 0;
  bool is_committing_ = false;
  // Shared with the events under way, which must do nothing once it is false.
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);
};

}  // namespace simulation
