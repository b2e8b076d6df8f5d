// Wakes the streams that show changes: at once when something changed, and once a second, so that
// what time alone brings is seen too. One pass over the table serves all of them, and however much
// changes, passes take at most a fifth of the time: the rest belongs to asks. Thread-safe.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ratelimitd/io/shared_table.h"

namespace ratelimitd {

// One moment of the table.
struct WatchTick {
  common::MonotonicTime now;
  common::WallTime wall;
  uint64_t version = 0;  // of the table
  std::vector<HealthView>
      views;  // of at least every key changed since the oldest watcher's version
};

// What a stream shows; used by one thread at a time.
template <typename Response>
class WatchSource {
 public:
  virtual ~WatchSource() = default;
  // Fills `response` when there is something to send now.
  virtual bool Next(const WatchTick& tick, Response& response) = 0;
  // The table version already shown; the largest number when it shows no views.
  virtual uint64_t version() const = 0;
};

class Watcher {
 public:
  virtual ~Watcher() = default;
  virtual void OnTick(const WatchTick& tick) = 0;
  virtual uint64_t version() = 0;
  // The server drains: the stream ends with UNAVAILABLE.
  virtual void OnDrain() = 0;
};

class WatchHub {
 public:
  static constexpr size_t kMaxWatchers = 256;

  // The table must outlive it.
  explicit WatchHub(SharedTable& table);
  ~WatchHub();

  // False: there are kMaxWatchers already, or the hub has drained. The hub shares the watcher until
  // its owner lets go; expired ones are dropped.
  bool Add(const std::shared_ptr<Watcher>& watcher);
  // Something may be new. Cheap; calls nobody on this thread.
  void Wake();
  void Drain();

 private:
  std::vector<std::shared_ptr<Watcher>> Watchers();
  void Run();
  // Returns how long the table was held.
  common::MonotonicTime::duration Tick();

  SharedTable& table_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::weak_ptr<Watcher>> watchers_;  // guarded by mutex_
  bool is_woken_ = false;                         // guarded by mutex_
  bool is_draining_ = false;                      // guarded by mutex_
  bool is_stopping_ = false;                      // guarded by mutex_
  std::thread thread_;
};

}  // namespace ratelimitd
