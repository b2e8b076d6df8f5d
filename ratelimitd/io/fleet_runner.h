// Decides on state that several replicas share: loads it, lets jobs work on the table, and writes
// what changed before anybody is answered. All jobs of a run share its two round trips. No thread
// of its own, and no I/O but the store's calls, so that a simulation can drive it.
//
// Not thread-safe, except against other users of the SharedTable.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "ratelimitd/io/durable_waiters.h"
#include "ratelimitd/io/metrics.h"
#include "ratelimitd/io/shared_table.h"
#include "ratelimitd/store/fleet_state.h"
#include "ratelimitd/store/shared_state_store.h"

namespace ratelimitd {

using NextMoment = std::function<Moment()>;

struct FleetOutcome {
  bool is_degraded = false;  // decided on the last known state
  uint64_t ticket = 0;       // of DurableWaiters; promises wait for it
};

class FleetJob {
 public:
  virtual ~FleetJob() = default;
  // The documents that are needed. Under the table's mutex, as Work.
  virtual void Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const = 0;
  // Called again when what it decided did not hold: overwrites its result.
  virtual void Work(TargetTable& table, const NextMoment& next_moment) = 0;
  // What it decided holds. Under the table's mutex.
  virtual void Confirm(TargetTable& table, const FleetOutcome& outcome, MonotonicTime now) = 0;
};

class FleetRunner {
 public:
  // All must outlive it. `replica_id`: drawn by chance.
  FleetRunner(SharedTable& table, SharedStateStore& store, DurableWaiters& waiters,
              uint64_t replica_id);

  // Runs the jobs and confirms them all.
  FleetOutcome Run(std::span<FleetJob* const> jobs);
  // Writes counts that nobody else knows yet; to be called every 100 ms or so.
  void Flush();
  // Reads what others have written of what is known here, a part of it at each call, asserts what
  // was learned while the store was away, and exchanges hosts; to be called every second or so.
  void Refresh();

  const FleetState::Counts& counts() const { return state_.counts(); }
  bool is_degraded() const { return is_degraded_; }
  // Whether this replica knows what it has not told the others yet.
  bool IsAhead() const { return state_.IsAhead(); }
  FleetStatus Status() const {
    const FleetState::Counts& counts = state_.counts();
    return {is_degraded_, counts.conflicts, counts.reasserted, counts.unreadable};
  }

 private:
  std::vector<DocumentKey> CollectKeys(std::span<FleetJob* const> jobs);
  FleetOutcome RunOn(std::vector<DocumentKey> keys, std::span<FleetJob* const> jobs);
  FleetOutcome DecideAlone(std::span<FleetJob* const> jobs);
  // Reads, works; the changes to be written, none when the run is over. `asked_at`: by the table's
  // time, when the store was asked for what it has loaded.
  std::vector<DocumentWrite> Decide(std::span<const DocumentKey> keys, const LoadResult& loaded,
                                    MonotonicTime asked_at, std::span<FleetJob* const> jobs);
  MonotonicTime TableTime();
  // `known`: in order; those of it in `told` are told to the others.
  void HearOfProviders(const std::vector<DocumentKey>& told, const std::vector<DocumentKey>& known);
  FleetOutcome Finish(std::span<FleetJob* const> jobs);
  FleetOutcome FinishDegraded(std::span<FleetJob* const> jobs);
  void ReleaseWaiters();

  SharedTable& table_;
  SharedStateStore& store_;
  DurableWaiters& waiters_;
  FleetState state_;
  bool is_degraded_ = false;
  bool is_ahead_ = false;
  uint64_t outage_ticket_ = 1;  // for promises of the outage under way, or of the next one
  size_t refreshed_ = 0;        // of the documents, in this round
};

}  // namespace ratelimitd
