// The sqlite file: one row per key with something to remember, and one for each override in force.
// Blocking; used by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "ratelimitd/core/target_table.h"
#include "ratelimitd/store/state_store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ratelimitd {

// A record as it was at `stored_at`: its durations count from there.
struct StampedRecord {
  KeyRecord record;
  common::WallTime stored_at;
};

// The row as it is to be put back at `now`: never of negative age, whatever became of the clock.
// Nothing when its deadlines ended so long ago that it is of no use to anybody.
std::optional<StoredRecord> AgeRow(StampedRecord row, common::WallTime now);

class HealthDatabase {
 public:
  // Opens or creates the file, alone: a second process is refused.
  // DataLoss: the file is no database, damaged or of another version; set it aside and open again.
  // NotFound, PermissionDenied, Unavailable (in use): an operator must act; the message names the
  // path and the remedy.
  static absl::StatusOr<std::unique_ptr<HealthDatabase>> Open(const std::string& path);
  ~HealthDatabase();
  HealthDatabase(const HealthDatabase&) = delete;
  HealthDatabase& operator=(const HealthDatabase&) = delete;

  // All rows. DataLoss: as for Open.
  absl::StatusOr<std::vector<StampedRecord>> ReadAll();
  // Writes all or nothing; durable when it returns OK. An empty record deletes its row.
  absl::Status Write(const std::vector<StampedRecord>& records);

 private:
  HealthDatabase(sqlite3* database, std::string path);
  absl::Status Prepare();
  absl::Status Run(const char* sql);
  absl::Status Check();
  absl::Status ReadOverrides(std::vector<StampedRecord>& rows);
  absl::Status WriteOne(const StampedRecord& record);
  absl::Status WriteOverride(const StampedRecord& record);
  absl::Status Step(sqlite3_stmt* statement);
  absl::Status Error(const char* doing) const;

  sqlite3* database_;
  std::string path_;
  sqlite3_stmt* put_ = nullptr;
  sqlite3_stmt* erase_ = nullptr;
  sqlite3_stmt* put_override_ = nullptr;
  sqlite3_stmt* erase_override_ = nullptr;
};

// Renames the file and its companions (-wal, -shm) by appending ".corrupt-" and `suffix`. Returns
// the new name. Fails when the file cannot be renamed.
absl::StatusOr<std::string> SetDatabaseAside(const std::string& path, const std::string& suffix);

}  // namespace ratelimitd
