// What survives a crash of the simulated ratelimitd: the production's database, in memory, and the
// true time of every row. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ratelimitd/store/health_database.h"
#include "tests/simulation/auditor.h"
#include "tests/simulation/random.h"

namespace simulation {

class Disk {
 public:
  explicit Disk(const candor_test::FakeClock& clock);

  struct Row {
    ratelimitd::StampedRecord stamped;
    MonotonicTime put_at;
  };
  // False: the disk fails now, and nothing was written.
  bool Write(const std::vector<Row>& rows);
  // What a new process finds, as the store hands it to the table and as the auditor must know it.
  struct Found {
    std::vector<ratelimitd::StoredRecord> records;
    std::vector<Survivor> survivors;
  };
  Found Read() const;

  void LoseEverything();
  void LoseSome(Random& random);
  void set_failing(bool is_failing) { is_failing_ = is_failing; }

 private:
  using Key = std::pair<std::string, std::string>;
  void Delete(const Key& key);

  const candor_test::FakeClock& clock_;
  std::unique_ptr<ratelimitd::HealthDatabase> database_;
  std::map<Key, std::pair<MonotonicTime, common::WallTime>> put_at_;
  bool is_failing_ = false;
};

}  // namespace simulation
