// What survives a restart of ratelimitd. Consequences are put after they took effect in memory and
// become durable a little later; an acknowledgement waits for that, a decision never does.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

struct StoredRecord {
  KeyRecord record;
  milliseconds age{0};  // by the wall clock; never negative
};

// Called on the store's own thread.
struct StoreEvents {
  // Everything up to this ticket is durable.
  std::function<void(uint64_t ticket)> on_durable = [](uint64_t) {};
  // A commit of `records` ended: OK, or why it failed; it is tried again until it succeeds.
  std::function<void(const absl::Status& status, size_t records)> on_commit =
      [](const absl::Status&, size_t) {};
};

// Thread-safe once started.
class StateStore {
 public:
  virtual ~StateStore() = default;

  // What survived. Call once, before Start. Fails only on what an operator must repair.
  virtual absl::StatusOr<std::vector<StoredRecord>> Load() = 0;
  virtual void Start(StoreEvents events) = 0;

  // Takes records over, without waiting for I/O; of two puts of a key the later one wins. Returns
  // the ticket under which they become durable; tickets rise from 1. 0: there is nothing to wait
  // for.
  virtual uint64_t Put(std::vector<KeyRecord> records, common::WallTime now) = 0;
  // Waits until all that was put is durable. False: it did not become so in time.
  virtual bool Flush(milliseconds timeout) = 0;
};

}  // namespace ratelimitd
