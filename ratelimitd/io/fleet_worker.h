// The thread that decides on shared state: takes what has queued up meanwhile as one run, and
// between runs keeps up with the other replicas. Thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ratelimitd/io/fleet_runner.h"

namespace ratelimitd {

// Where jobs wait for their run. Thread-safe, but for a simulation's.
class FleetQueue {
 public:
  // A job, and what is to happen on the thread of its run when it is confirmed.
  struct Task {
    std::unique_ptr<FleetJob> job;
    std::function<void()> done = [] {};
  };

  virtual ~FleetQueue() = default;
  virtual void Submit(Task task) = 0;
};

class FleetWorker final : public FleetQueue {
 public:
  // After every run and every pause; on the worker's thread.
  using OnRun = std::function<void(const FleetRunner& runner)>;

  // Both must outlive it; `runner` is the worker's from now on.
  FleetWorker(FleetRunner& runner, const common::Clock& clock, OnRun on_run);
  // Finishes what is queued.
  ~FleetWorker() override;

  void Submit(Task task) override;

 private:
  void Run();
  void KeepUp();

  FleetRunner& runner_;
  const common::Clock& clock_;
  const OnRun on_run_;
  MonotonicTime next_flush_;  // the thread's own, as next_refresh_
  MonotonicTime next_refresh_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Task> queue_;   // guarded by mutex_
  bool is_stopping_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace ratelimitd
