// Where replicas of ratelimitd share their state: documents of named fields, each with a version,
// and a clock that is the same for everybody. RedisStore is the real one; a test may bring its own,
// for instance one that simulates a Redis which loses its last second.
//
// The rules of the state machine are not here: FleetState reads documents into the TargetTable,
// the table decides, and FleetState writes what changed, on condition that nobody else has written
// the document since (compare and set). What does not hold any more is decided again.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ratelimitd/core/state_document.h"

namespace ratelimitd {

// Since the epoch of the store's own clock.
using StoreTime = std::chrono::microseconds;

struct DocumentRead {
  DocumentKey key;
  std::string known_version;  // empty: none
};

struct LoadedDocument {
  enum class State : uint8_t {
    kUnchanged,  // still the known version
    kChanged,    // version and fields are given
    kMissing,    // nobody has written it, it has expired or was lost
  };
  State state = State::kMissing;
  std::string version{};
  std::vector<std::pair<std::string, std::string>> fields{};
};

struct LoadResult {
  StoreTime now{0};
  std::vector<LoadedDocument> documents;  // one per read, in order
};

struct DocumentWrite {
  DocumentKey key;
  std::string expected_version;  // empty: the document must be missing
  std::string new_version;       // never used before by any replica
  std::vector<std::pair<std::string, std::string>> set_fields;
  std::vector<std::string> erased_fields;
  std::chrono::milliseconds lifetime;  // the document is forgotten when nobody writes it for this
};

struct CommitResult {
  bool is_committed = false;
  // When not committed: the documents as they are now, one per write, in order, read against the
  // expected versions.
  LoadResult current;
};

// Calls block, within the store's own budget. Not thread-safe.
class SharedStateStore {
 public:
  virtual ~SharedStateStore() = default;

  // Unavailable: the store cannot be asked; nothing is known.
  virtual absl::StatusOr<LoadResult> Load(std::span<const DocumentRead> reads) = 0;

  // Writes all or nothing, at one moment. Unavailable: it may or may not have been written, now or
  // a little later (but never over a newer version).
  virtual absl::StatusOr<CommitResult> Commit(std::span<const DocumentWrite> writes) = 0;

  // Tells the other replicas which hosts are connected here, and returns those of all replicas of
  // the last minute. Unavailable: as for Load.
  virtual absl::StatusOr<std::vector<uint64_t>> ShareHosts(std::span<const uint64_t> hosts) = 0;

  // The same for the names of providers that are known here, and those of the last ten minutes.
  virtual absl::StatusOr<std::vector<std::string>> ShareProviders(
      std::span<const std::string> names) = 0;
};

}  // namespace ratelimitd
