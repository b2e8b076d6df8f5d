#include "ratelimitd/store/health_database.h"

#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/concat.h"

namespace ratelimitd {
namespace {

using common::Concat;

// Written to PRAGMA user_version: a file of another layout is set aside, not guessed at.
constexpr int kLayoutVersion = 1;

// A row whose deadlines ended this long ago is of no use to anybody.
constexpr milliseconds kUsefulAfterEnd = std::chrono::hours(1);

constexpr char kCreate[] =
    "CREATE TABLE IF NOT EXISTS health("
    " provider TEXT NOT NULL, model TEXT NOT NULL, stored_at_ms INTEGER NOT NULL,"
    " backoff_remaining_ms INTEGER NOT NULL, backoff_count INTEGER NOT NULL,"
    " breaker_phase INTEGER NOT NULL, breaker_remaining_ms INTEGER NOT NULL,"
    " breaker_elapsed_ms INTEGER NOT NULL, breaker_trips INTEGER NOT NULL,"
    " breaker_rate_before REAL NOT NULL,"
    " block_kind INTEGER NOT NULL, block_remaining_ms INTEGER NOT NULL,"
    " block_until_probe_ms INTEGER NOT NULL, block_count INTEGER NOT NULL,"
    " why TEXT NOT NULL, reporter TEXT NOT NULL, credential_fingerprint TEXT NOT NULL,"
    " PRIMARY KEY(provider, model)) WITHOUT ROWID";
constexpr char kPut[] = "INSERT OR REPLACE INTO health VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";
constexpr char kErase[] = "DELETE FROM health WHERE provider = ? AND model = ?";
constexpr char kSelect[] = "SELECT * FROM health";
// A table of its own, which earlier versions do not know and need not.
constexpr char kCreateOverrides[] =
    "CREATE TABLE IF NOT EXISTS overrides("
    " provider TEXT NOT NULL, model TEXT NOT NULL, stored_at_ms INTEGER NOT NULL,"
    " mode INTEGER NOT NULL, remaining_ms INTEGER NOT NULL,"
    " why TEXT NOT NULL, operator TEXT NOT NULL,"
    " PRIMARY KEY(provider, model)) WITHOUT ROWID";
constexpr char kPutOverride[] = "INSERT OR REPLACE INTO overrides VALUES(?,?,?,?,?,?,?)";
constexpr char kEraseOverride[] = "DELETE FROM overrides WHERE provider = ? AND model = ?";
constexpr char kSelectOverrides[] = "SELECT * FROM overrides";

int64_t UnixMillis(common::WallTime time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

// Binds values in the order of the table's columns.
class Binder {
 public:
  explicit Binder(sqlite3_stmt* statement) : statement_(statement) {}
  Binder& Text(const std::string& text) {
    sqlite3_bind_text(statement_, ++index_, text.data(), static_cast<int>(text.size()),
                      SQLITE_STATIC);
    return *this;
  }
  Binder& Int(int64_t value) {
    sqlite3_bind_int64(statement_, ++index_, value);
    return *this;
  }
  Binder& Real(double value) {
    sqlite3_bind_double(statement_, ++index_, value);
    return *this;
  }

 private:
  sqlite3_stmt* statement_;
  int index_ = 0;
};

// Takes values in the order of the table's columns, clamped: a file is input like any other.
class Columns {
 public:
  explicit Columns(sqlite3_stmt* statement) : statement_(statement) {}
  std::string Text() {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement_, index_));
    const int size = sqlite3_column_bytes(statement_, index_++);
    return text == nullptr ? std::string() : std::string(text, static_cast<size_t>(size));
  }
  int64_t Int(int64_t highest) {
    return std::clamp<int64_t>(sqlite3_column_int64(statement_, index_++), 0, highest);
  }
  milliseconds Millis() { return milliseconds(Int(kLongest.count())); }
  double Real() { return std::clamp(sqlite3_column_double(statement_, index_++), 0.0, 1e9); }

 private:
  static constexpr milliseconds kLongest = std::chrono::hours(24 * 366);
  sqlite3_stmt* statement_;
  int index_ = 0;
};

constexpr int64_t kMaxMillis = int64_t{1} << 53;

StampedRecord ReadRow(sqlite3_stmt* statement) {
  constexpr int64_t kMaxCount = 1000;
  Columns columns(statement);
  StampedRecord row;
  HealthRecord& health = row.record.health;
  row.record.provider = columns.Text();
  row.record.model = columns.Text();
  row.stored_at = common::WallTime(milliseconds(columns.Int(kMaxMillis / 1000)));
  health.backoff_remaining = columns.Millis();
  health.backoff_count = static_cast<int>(columns.Int(kMaxCount));
  health.breaker.phase = static_cast<Breaker::Phase>(columns.Int(3));
  health.breaker.remaining = columns.Millis();
  health.breaker.elapsed = columns.Millis();
  health.breaker.trips = static_cast<int>(columns.Int(kMaxCount));
  health.breaker.rate_before = columns.Real();
  health.block.kind = static_cast<Block::Kind>(columns.Int(2));
  health.block.remaining = columns.Millis();
  health.block.until_probe = columns.Millis();
  health.block.count = static_cast<int>(columns.Int(kMaxCount));
  health.cause.why = columns.Text();
  health.cause.reporter = columns.Text();
  health.credential_fingerprint = columns.Text();
  return row;
}

StampedRecord ReadOverrideRow(sqlite3_stmt* statement) {
  constexpr auto kLastMode = static_cast<int64_t>(OverrideMode::kForcedOpen);
  Columns columns(statement);
  StampedRecord row;
  OperatorOverride::Record& ruling = row.record.health.ruling;
  row.record.provider = columns.Text();
  row.record.model = columns.Text();
  row.stored_at = common::WallTime(milliseconds(columns.Int(kMaxMillis / 1000)));
  ruling.mode = static_cast<OverrideMode>(columns.Int(kLastMode));
  ruling.remaining = columns.Millis();
  ruling.cause.why = columns.Text();
  ruling.cause.reporter = columns.Text();
  return row;
}

absl::Status CheckDirectory(const std::string& path) {
  std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  std::error_code error;
  if (!std::filesystem::is_directory(directory, error)) {
    return absl::NotFoundError(Concat("store: the directory ", directory.string(), " of ", path,
                                      " does not exist; create it or change store.path"));
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return absl::PermissionDeniedError(
        Concat("store: the directory ", directory.string(), " of ", path,
               " is not writable for this user; change its owner or store.path"));
  }
  return absl::OkStatus();
}

bool IsOutdated(const HealthRecord& health, milliseconds age) {
  const milliseconds end = std::max({health.backoff_remaining, health.breaker.remaining,
                                     health.block.remaining, health.ruling.remaining});
  return health.credential_fingerprint.empty() && age > end + kUsefulAfterEnd;
}

}  // namespace

std::optional<StoredRecord> AgeRow(StampedRecord row, common::WallTime now) {
  const auto age =
      std::max(milliseconds(0), std::chrono::duration_cast<milliseconds>(now - row.stored_at));
  if (IsOutdated(row.record.health, age)) return std::nullopt;
  return StoredRecord{std::move(row.record), age};
}

absl::StatusOr<std::unique_ptr<HealthDatabase>> HealthDatabase::Open(const std::string& path) {
  if (absl::Status status = CheckDirectory(path); !status.ok()) return status;
  sqlite3* handle = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int result = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  std::unique_ptr<HealthDatabase> database(new HealthDatabase(handle, path));
  if (result != SQLITE_OK) return database->Error("open");
  if (absl::Status status = database->Prepare(); !status.ok()) return status;
  return database;
}

HealthDatabase::HealthDatabase(sqlite3* database, std::string path)
    : database_(database), path_(std::move(path)) {}

HealthDatabase::~HealthDatabase() {
  sqlite3_finalize(put_);
  sqlite3_finalize(erase_);
  sqlite3_finalize(put_override_);
  sqlite3_finalize(erase_override_);
  sqlite3_close_v2(database_);
}

absl::Status HealthDatabase::Prepare() {
  // FULL makes a commit survive the loss of power too; commits are few and grouped.
  for (const char* sql : {"PRAGMA locking_mode=EXCLUSIVE", "PRAGMA journal_mode=WAL",
                          "PRAGMA synchronous=FULL", "PRAGMA temp_store=MEMORY"}) {
    if (absl::Status status = Run(sql); !status.ok()) return status;
  }
  sqlite3_stmt* statement = nullptr;
  int version = 0;
  if (sqlite3_prepare_v2(database_, "PRAGMA user_version", -1, &statement, nullptr) == SQLITE_OK &&
      sqlite3_step(statement) == SQLITE_ROW) {
    version = sqlite3_column_int(statement, 0);
  }
  if (sqlite3_finalize(statement) != SQLITE_OK) return Error("read the version of");
  if (version != 0 && version != kLayoutVersion) {
    return absl::DataLossError(Concat(path_, " has the unknown layout version ", version));
  }
  for (const char* sql : {kCreate, kCreateOverrides}) {
    if (absl::Status status = Run(sql); !status.ok()) return status;
  }
  if (absl::Status status = Run(Concat("PRAGMA user_version=", kLayoutVersion).c_str());
      !status.ok()) {
    return status;
  }
  if (sqlite3_prepare_v2(database_, kPut, -1, &put_, nullptr) != SQLITE_OK ||
      sqlite3_prepare_v2(database_, kErase, -1, &erase_, nullptr) != SQLITE_OK ||
      sqlite3_prepare_v2(database_, kPutOverride, -1, &put_override_, nullptr) != SQLITE_OK ||
      sqlite3_prepare_v2(database_, kEraseOverride, -1, &erase_override_, nullptr) != SQLITE_OK) {
    return absl::DataLossError(Concat(path_, " has another table layout"));
  }
  return absl::OkStatus();
}

// That the file cannot be read now, for instance for want of memory, does not make it damaged.
absl::Status HealthDatabase::Check() {
  sqlite3_stmt* statement = nullptr;
  absl::Status status;
  if (sqlite3_prepare_v2(database_, "PRAGMA quick_check(1)", -1, &statement, nullptr) !=
          SQLITE_OK ||
      sqlite3_step(statement) != SQLITE_ROW) {
    status = Error("check");
  } else {
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, 0));
    const bool is_sound = text != nullptr && std::strcmp(text, "ok") == 0;
    if (!is_sound) status = absl::DataLossError(Concat(path_, " is damaged"));
  }
  sqlite3_finalize(statement);
  return status;
}

absl::StatusOr<std::vector<StampedRecord>> HealthDatabase::ReadAll() {
  if (absl::Status status = Check(); !status.ok()) return status;
  sqlite3_stmt* statement = nullptr;
  std::vector<StampedRecord> rows;
  if (sqlite3_prepare_v2(database_, kSelect, -1, &statement, nullptr) != SQLITE_OK) {
    return Error("read");
  }
  int result = SQLITE_ROW;
  while ((result = sqlite3_step(statement)) == SQLITE_ROW) rows.push_back(ReadRow(statement));
  sqlite3_finalize(statement);
  if (result != SQLITE_DONE) return Error("read");
  if (absl::Status status = ReadOverrides(rows); !status.ok()) return status;
  return rows;
}

absl::Status HealthDatabase::ReadOverrides(std::vector<StampedRecord>& rows) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_, kSelectOverrides, -1, &statement, nullptr) != SQLITE_OK) {
    return Error("read");
  }
  int result = SQLITE_ROW;
  while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
    StampedRecord row = ReadOverrideRow(statement);
    // Both rows of a key were written together, but for a version that knew only the other.
    const auto same = std::find_if(rows.begin(), rows.end(), [&](const StampedRecord& other) {
      return other.record.provider == row.record.provider && other.record.model == row.record.model;
    });
    if (same == rows.end()) {
      rows.push_back(std::move(row));
      continue;
    }
    OperatorOverride::Record& ruling = row.record.health.ruling;
    const auto later = std::chrono::duration_cast<milliseconds>(same->stored_at - row.stored_at);
    ruling.remaining -= std::clamp(later, milliseconds(0), ruling.remaining);
    same->record.health.ruling = std::move(ruling);
  }
  sqlite3_finalize(statement);
  return result == SQLITE_DONE ? absl::OkStatus() : Error("read");
}

absl::Status HealthDatabase::Write(const std::vector<StampedRecord>& records) {
  if (absl::Status status = Run("BEGIN IMMEDIATE"); !status.ok()) return status;
  for (const StampedRecord& record : records) {
    if (absl::Status status = WriteOne(record); !status.ok()) {
      Run("ROLLBACK").IgnoreError();
      return status;
    }
  }
  absl::Status status = Run("COMMIT");
  if (!status.ok()) Run("ROLLBACK").IgnoreError();
  return status;
}

absl::Status HealthDatabase::WriteOne(const StampedRecord& stamped) {
  if (absl::Status status = WriteOverride(stamped); !status.ok()) return status;
  const KeyRecord& key = stamped.record;
  const HealthRecord& health = key.health;
  sqlite3_stmt* statement = health.IsEmpty() ? erase_ : put_;
  Binder binder(statement);
  binder.Text(key.provider).Text(key.model);
  if (statement == put_) {
    binder.Int(UnixMillis(stamped.stored_at))
        .Int(health.backoff_remaining.count())
        .Int(health.backoff_count)
        .Int(static_cast<int>(health.breaker.phase))
        .Int(health.breaker.remaining.count())
        .Int(health.breaker.elapsed.count())
        .Int(health.breaker.trips)
        .Real(health.breaker.rate_before)
        .Int(static_cast<int>(health.block.kind))
        .Int(health.block.remaining.count())
        .Int(health.block.until_probe.count())
        .Int(health.block.count)
        .Text(health.cause.why)
        .Text(health.cause.reporter)
        .Text(health.credential_fingerprint);
  }
  return Step(statement);
}

absl::Status HealthDatabase::WriteOverride(const StampedRecord& stamped) {
  const KeyRecord& key = stamped.record;
  const OperatorOverride::Record& ruling = key.health.ruling;
  const bool is_set = ruling.mode != OverrideMode::kNone;
  sqlite3_stmt* statement = is_set ? put_override_ : erase_override_;
  Binder binder(statement);
  binder.Text(key.provider).Text(key.model);
  if (is_set) {
    binder.Int(UnixMillis(stamped.stored_at))
        .Int(static_cast<int>(ruling.mode))
        .Int(ruling.remaining.count())
        .Text(ruling.cause.why)
        .Text(ruling.cause.reporter);
  }
  return Step(statement);
}

absl::Status HealthDatabase::Step(sqlite3_stmt* statement) {
  const int result = sqlite3_step(statement);
  absl::Status status = result == SQLITE_DONE ? absl::OkStatus() : Error("write");
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  return status;
}

absl::Status HealthDatabase::Run(const char* sql) {
  if (sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) {
    return absl::OkStatus();
  }
  return Error(sql);
}

absl::Status HealthDatabase::Error(const char* doing) const {
  const int code = sqlite3_errcode(database_);
  const std::string text = Concat("store: ", path_, ": ", doing, ": ", sqlite3_errmsg(database_));
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
      return absl::DataLossError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(
          Concat(text, "; another ratelimitd uses the file: stop it or change store.path"));
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return absl::PermissionDeniedError(
          Concat(text, "; make the file writable for this user or change store.path"));
    default:
      return absl::UnavailableError(text);
  }
}

absl::StatusOr<std::string> SetDatabaseAside(const std::string& path, const std::string& suffix) {
  const std::string aside = Concat(path, ".corrupt-", suffix);
  if (std::rename(path.c_str(), aside.c_str()) != 0) {
    return absl::PermissionDeniedError(Concat("store: cannot rename the damaged ", path, " to ",
                                              aside, ": ", std::strerror(errno)));
  }
  for (const char* companion : {"-wal", "-shm"}) {
    // Usually absent; one left behind would be replayed into the new file.
    std::rename(Concat(path, companion).c_str(), Concat(aside, companion).c_str());
  }
  return aside;
}

}  // namespace ratelimitd
