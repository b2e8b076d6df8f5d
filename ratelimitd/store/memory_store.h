// Keeps nothing: the table in memory is all there is. Everything counts as durable at once.
#pragma once

#include "ratelimitd/store/state_store.h"

namespace ratelimitd {

class MemoryStore final : public StateStore {
 public:
  absl::StatusOr<std::vector<StoredRecord>> Load() override { return std::vector<StoredRecord>(); }
  void Start(StoreEvents) override {}
  uint64_t Put(std::vector<KeyRecord>, common::WallTime) override { return 0; }
  bool Flush(milliseconds) override { return true; }
};

}  // namespace ratelimitd
