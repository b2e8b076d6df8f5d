// The configuration in force, and what a changed file makes of it: a bad one is refused and what
// was there before stays. Every result is logged and counted. Thread-safe.
#pragma once

#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "common/log.h"
#include "ratelimitd/config.h"
#include "ratelimitd/io/metrics.h"
#include "ratelimitd/io/shared_table.h"

namespace ratelimitd {

class ConfigReloader {
 public:
  // `current` is what the program was started with, read from the file `path`. What is borrowed
  // must outlive this.
  ConfigReloader(std::string path, Config current, SharedTable& table, Metrics& metrics,
                 common::Log& log)
      : path_(std::move(path)),
        started_(current),
        current_(std::move(current)),
        table_(table),
        metrics_(metrics),
        log_(log) {}

  // Takes the file. Whether something in it needs a restart; fails with what is wrong with it.
  absl::StatusOr<bool> Reload();
  // The same of a file that is not taken.
  absl::StatusOr<bool> Validate();
  // What is in force, in YAML without any secret: of a file that needs a restart, what did not.
  std::string Render();

 private:
  TableSettings InForce(TableSettings wanted) const;

  const std::string path_;
  const Config started_;
  std::mutex mutex_;
  Config current_;  // guarded by mutex_
  SharedTable& table_;
  Metrics& metrics_;
  common::Log& log_;
};

}  // namespace ratelimitd
