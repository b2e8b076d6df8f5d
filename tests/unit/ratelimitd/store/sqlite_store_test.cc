#include "ratelimitd/store/sqlite_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/fake_clock.h"

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kPatience = 10s;

KeyRecord Record(const std::string& provider, const std::string& model, milliseconds backoff) {
  KeyRecord record{.provider = provider, .model = model, .health = {}};
  record.health.backoff_remaining = backoff;
  record.health.backoff_count = 2;
  record.health.cause = {"It said so.", "gw-1"};
  return record;
}

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStoreTest() {
    std::string name = (std::filesystem::temp_directory_path() / "candor-store-XXXXXX").string();
    directory_ = mkdtemp(name.data());
    path_ = (directory_ / "state.db").string();
  }
  ~SqliteStoreTest() override {
    std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
    std::filesystem::remove_all(directory_);
  }

  // What a fresh process finds.
  std::vector<StoredRecord> LoadAgain() {
    SqliteStore store(path_, clock_);
    auto records = store.Load();
    EXPECT_TRUE(records.ok()) << records.status();
    set_aside_ = store.set_aside();
    damage_ = store.damage();
    return records.ok() ? *records : std::vector<StoredRecord>();
  }
  // Puts and waits until it is durable.
  void Keep(std::vector<KeyRecord> records) {
    SqliteStore store(path_, clock_);
    ASSERT_TRUE(store.Load().ok());
    store.Start({});
    store.Put(std::move(records), clock_.Wall());
    ASSERT_TRUE(store.Flush(kPatience));
  }

  candor_test::FakeClock clock_;
  std::filesystem::path directory_;
  std::string path_;
  std::string set_aside_;
  std::string damage_;
};

TEST_F(SqliteStoreTest, EveryFieldSurvives) {
  KeyRecord record = Record("openai", "gpt", 30min);
  record.health.breaker = {.phase = Breaker::Phase::kOpen,
                           .remaining = 5s,
                           .elapsed = 2s,
                           .trips = 3,
                           .rate_before = 12.5};
  record.health.block = {
      .kind = Block::Kind::kQuota, .remaining = 1h, .until_probe = 20min, .count = 4};
  record.health.credential_fingerprint = "0123456789abcdef";
  record.health.ruling = {.mode = OverrideMode::kForcedOpen,
                          .remaining = 2h,
                          .cause = {"An operator has taken it out: a.", "operator ops"}};
  Keep({record});
  clock_.Advance(90s);

  const auto loaded = LoadAgain();
  ASSERT_EQ(loaded.size(), 1u);
  EXPECT_EQ(loaded[0].age, 90s);
  const HealthRecord& health = loaded[0].record.health;
  EXPECT_EQ(loaded[0].record.provider, "openai");
  EXPECT_EQ(loaded[0].record.model, "gpt");
  EXPECT_EQ(health.backoff_remaining, 30min);
  EXPECT_EQ(health.backoff_count, 2);
  EXPECT_EQ(health.breaker.phase, Breaker::Phase::kOpen);
  EXPECT_EQ(health.breaker.remaining, 5s);
  EXPECT_EQ(health.breaker.elapsed, 2s);
  EXPECT_EQ(health.breaker.trips, 3);
  EXPECT_EQ(health.breaker.rate_before, 12.5);
  EXPECT_EQ(health.block.kind, Block::Kind::kQuota);
  EXPECT_EQ(health.block.remaining, 1h);
  EXPECT_EQ(health.block.until_probe, 20min);
  EXPECT_EQ(health.block.count, 4);
  EXPECT_EQ(health.cause.why, "It said so.");
  EXPECT_EQ(health.cause.reporter, "gw-1");
  EXPECT_EQ(health.credential_fingerprint, "0123456789abcdef");
  EXPECT_EQ(health.ruling.mode, OverrideMode::kForcedOpen);
  EXPECT_EQ(health.ruling.remaining, 2h);
  EXPECT_EQ(health.ruling.cause.why, "An operator has taken it out: a.");
  EXPECT_EQ(health.ruling.cause.reporter, "operator ops");
}

KeyRecord Ruled(const std::string& provider, milliseconds remaining) {
  KeyRecord record = Record(provider, "", 0s);
  record.health.ruling = {.mode = OverrideMode::kForcedOpen, .remaining = remaining, .cause = {}};
  return record;
}

TEST_F(SqliteStoreTest, AnOverrideIsKeptWithoutFactsAndGoesWithItsEnd) {
  Keep({Ruled("openai", 2h)});
  ASSERT_EQ(LoadAgain().size(), 1u);
  Keep({Record("openai", "", 0s)});
  EXPECT_TRUE(LoadAgain().empty());
}

// Earlier versions know only the table "health", and rewrite its rows later.
TEST_F(SqliteStoreTest, AnOverrideGetsNoLongerByAVersionThatDoesNotKnowIt) {
  Keep({Ruled("openai", 2h)});
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "UPDATE health SET stored_at_ms = stored_at_ms + 3600000",
                         nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(LoadAgain()[0].record.health.ruling.remaining, 1h);
}

TEST_F(SqliteStoreTest, AFileOfAnEarlierVersionIsRead) {
  Keep({Record("openai", "gpt", 10s)});
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "DROP TABLE overrides", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(LoadAgain().size(), 1u);
  EXPECT_EQ(set_aside_, "");
}

TEST_F(SqliteStoreTest, LaterPutOfAKeyWinsAndAnEmptyOneDeletes) {
  Keep({Record("openai", "gpt", 10s), Record("openai", "other", 10s)});
  Keep({Record("openai", "gpt", 20s), Record("openai", "other", 0s)});
  const auto loaded = LoadAgain();
  ASSERT_EQ(loaded.size(), 1u);
  EXPECT_EQ(loaded[0].record.health.backoff_remaining, 20s);
}

TEST_F(SqliteStoreTest, ClockSetBackMakesNothingOlderThanNow) {
  Keep({Record("openai", "gpt", 10s)});
  clock_.StepWall(-24h);
  EXPECT_EQ(LoadAgain()[0].age, 0s);
}

TEST_F(SqliteStoreTest, LongOverIsForgotten) {
  Keep({Record("openai", "gpt", 10s)});
  clock_.Advance(2h);
  EXPECT_TRUE(LoadAgain().empty());
}

TEST_F(SqliteStoreTest, TellsWhenATicketIsDurable) {
  SqliteStore store(path_, clock_);
  ASSERT_TRUE(store.Load().ok());
  std::atomic<uint64_t> told = 0;
  store.Start({.on_durable = [&told](uint64_t ticket) { told = ticket; }});
  uint64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    const uint64_t ticket = store.Put({Record("p", std::to_string(i), 1h)}, clock_.Wall());
    EXPECT_GT(ticket, last);
    last = ticket;
  }
  ASSERT_TRUE(store.Flush(kPatience));
  // The last on_durable may still be running; a later flush comes after it.
  store.Put({Record("p", "x", 1h)}, clock_.Wall());
  ASSERT_TRUE(store.Flush(kPatience));
  EXPECT_GE(told, last);
}

TEST_F(SqliteStoreTest, DamagedFilesAreSetAsideAndTheStoreStartsEmpty) {
  const auto overwrite = [this](std::streamoff at, const std::string& bytes) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(at);
    file << bytes;
  };
  struct {
    const char* name;
    std::function<void()> damage;
  } cases[] = {
      {"garbage", [&] { std::ofstream(path_) << std::string(8192, 'x'); }},
      {"header overwritten", [&] { overwrite(0, std::string(64, '\0')); }},
      {"pages overwritten", [&] { overwrite(100, std::string(8000, '\x5a')); }},
      {"truncated", [&] { std::filesystem::resize_file(path_, 5000); }},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    std::vector<KeyRecord> many;
    for (int i = 0; i < 200; ++i) many.push_back(Record("p" + std::to_string(i), "m", 1h));
    Keep(many);
    c.damage();
    EXPECT_TRUE(LoadAgain().empty());
    EXPECT_NE(set_aside_, "");
    EXPECT_TRUE(std::filesystem::exists(set_aside_));
    EXPECT_NE(damage_.find(path_), std::string::npos) << damage_;
    Keep({Record("p", "m", 1h)});
    EXPECT_EQ(LoadAgain().size(), 1u);
    std::filesystem::remove(path_);
    clock_.Advance(1s);
  }
}

TEST_F(SqliteStoreTest, AFileInTheFormOfAnotherVersionIsSetAsideAndSaidToBeThat) {
  Keep({Record("openai", "gpt", 1h)});
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version=7", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(database);
  EXPECT_TRUE(LoadAgain().empty());
  EXPECT_NE(set_aside_, "");
  EXPECT_NE(damage_.find("layout version 7"), std::string::npos) << damage_;
}

TEST_F(SqliteStoreTest, MissingDirectoryIsNamedWithTheRemedy) {
  SqliteStore store((directory_ / "absent" / "state.db").string(), clock_);
  const absl::Status status = store.Load().status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_NE(status.message().find("absent"), absl::string_view::npos);
  EXPECT_NE(status.message().find("create it"), absl::string_view::npos);
}

TEST_F(SqliteStoreTest, SecondProcessIsRefused) {
  SqliteStore first(path_, clock_);
  ASSERT_TRUE(first.Load().ok());
  SqliteStore second(path_, clock_);
  const absl::Status status = second.Load().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_NE(status.message().find("another ratelimitd"), absl::string_view::npos);
}

}  // namespace
}  // namespace ratelimitd
