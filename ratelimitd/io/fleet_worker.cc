#include "ratelimitd/io/fleet_worker.h"

#include <utility>

namespace ratelimitd {
namespace {

constexpr milliseconds kFlushInterval{100};
constexpr milliseconds kRefreshInterval{1000};
// While the store is away: how soon its return is noticed.
constexpr milliseconds kRefreshIntervalDegraded{100};

}  // namespace

FleetWorker::FleetWorker(FleetRunner& runner, const common::Clock& clock, OnRun on_run)
    : runner_(runner),
      clock_(clock),
      on_run_(std::move(on_run)),
      next_flush_(clock.Monotonic()),
      next_refresh_(clock.Monotonic()),
      thread_([this] { Run(); }) {}

FleetWorker::~FleetWorker() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FleetWorker::Submit(Task task) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
    if (queue_.size() > 1) return;
  }
  changed_.notify_one();
}

void FleetWorker::Run() {
  std::vector<FleetJob*> jobs;
  for (;;) {
    std::vector<Task> tasks;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, next_flush_ - clock_.Monotonic(),
                        [this] { return is_stopping_ || !queue_.empty(); });
      if (is_stopping_ && queue_.empty()) break;
      tasks.swap(queue_);
    }
    if (!tasks.empty()) {
      jobs.clear();
      for (const Task& task : tasks) jobs.push_back(task.job.get());
      runner_.Run(jobs);
      for (const Task& task : tasks) task.done();
    }
    KeepUp();
    on_run_(runner_);
  }
  runner_.Flush();
}

void FleetWorker::KeepUp() {
  const MonotonicTime now = clock_.Monotonic();
  if (now >= next_flush_) {
    next_flush_ = now + kFlushInterval;
    runner_.Flush();
  }
  if (now >= next_refresh_) {
    runner_.Refresh();
    next_refresh_ = now + (runner_.is_degraded() ? kRefreshIntervalDegraded : kRefreshInterval);
  }
}

}  // namespace ratelimitd
