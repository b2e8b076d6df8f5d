#include "tests/simulation/disk.h"

#include <cstdlib>
#include <iostream>

namespace simulation {

Disk::Disk(const candor_test::FakeClock& clock) : clock_(clock) {
  auto database = ratelimitd::HealthDatabase::Open(":memory:");
  if (!database.ok()) {
    std::cerr << database.status() << '\n';
    std::abort();
  }
  database_ = *std::move(database);
}

bool Disk::Write(const std::vector<Row>& rows) {
  if (is_failing_) return false;
  std::vector<ratelimitd::StampedRecord> records;
  for (const Row& row : rows) {
    records.push_back(row.stamped);
    const Key key(row.stamped.record.provider, row.stamped.record.model);
    put_at_[key] = {row.put_at, row.stamped.stored_at};
  }
  return database_->Write(records).ok();
}

Disk::Found Disk::Read() const {
  Found found;
  const common::WallTime wall = clock_.Wall();
  const MonotonicTime now = clock_.Monotonic();
  auto rows = database_->ReadAll();
  if (!rows.ok()) return found;
  for (const ratelimitd::StampedRecord& row : *rows) {
    auto record = ratelimitd::AgeRow(row, wall);
    const auto [put_at, put_at_wall] = put_at_.at({row.record.provider, row.record.model});
    const nanoseconds clock_error = (wall - put_at_wall) - (now - put_at);
    found.survivors.push_back(
        {{row.record.provider, row.record.model}, row.record.health, put_at, clock_error});
    if (record) found.records.push_back(*std::move(record));
  }
  return found;
}

void Disk::Delete(const Key& key) {
  database_->Write({{{key.first, key.second, {}}, clock_.Wall()}}).IgnoreError();
}

void Disk::LoseEverything() {
  for (const auto& [key, put_at] : put_at_) Delete(key);
}

void Disk::LoseSome(Random& random) {
  for (const auto& [key, put_at] : put_at_) {
    if (random.Happens(0.5)) Delete(key);
  }
}

}  // namespace simulation
