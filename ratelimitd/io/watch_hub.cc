#include "ratelimitd/io/watch_hub.h"

#include <algorithm>
#include <limits>

namespace ratelimitd {
namespace {

constexpr milliseconds kTickInterval = std::chrono::seconds(1);
// Between two passes over the table, in lengths of the first.
constexpr int kRest = 4;
constexpr common::MonotonicTime::duration kLongestRest = milliseconds(20);

}  // namespace

WatchHub::WatchHub(SharedTable& table) : table_(table), thread_([this] { Run(); }) {}

WatchHub::~WatchHub() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool WatchHub::Add(const std::shared_ptr<Watcher>& watcher) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(watchers_, [](const auto& weak) { return weak.expired(); });
    if (is_draining_ || watchers_.size() >= kMaxWatchers) return false;
    watchers_.push_back(watcher);
    is_woken_ = true;
  }
  changed_.notify_all();
  return true;
}

void WatchHub::Wake() {
  {
    const std::lock_guard lock(mutex_);
    if (watchers_.empty() || is_woken_) return;
    is_woken_ = true;
  }
  changed_.notify_all();
}

std::vector<std::shared_ptr<Watcher>> WatchHub::Watchers() {
  std::vector<std::shared_ptr<Watcher>> alive;
  const std::lock_guard lock(mutex_);
  std::erase_if(watchers_, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : watchers_) {
    if (auto watcher = weak.lock()) alive.push_back(std::move(watcher));
  }
  return alive;
}

void WatchHub::Drain() {
  {
    const std::lock_guard lock(mutex_);
    is_draining_ = true;
  }
  for (const auto& watcher : Watchers()) watcher->OnDrain();
}

void WatchHub::Run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    changed_.wait_for(lock, kTickInterval, [this] { return is_woken_ || is_stopping_; });
    is_woken_ = false;
    if (is_stopping_ || watchers_.empty()) continue;
    lock.unlock();
    const auto held = Tick();
    lock.lock();
    changed_.wait_for(lock, std::min(kRest * held, kLongestRest), [this] { return is_stopping_; });
  }
}

common::MonotonicTime::duration WatchHub::Tick() {
  const auto watchers = Watchers();
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  for (const auto& watcher : watchers) oldest = std::min(oldest, watcher->version());
  WatchTick tick;
  tick.wall = table_.clock().Wall();
  const common::MonotonicTime began = table_.clock().Monotonic();
  table_.Update([&](TargetTable& table, auto next_moment) {
    const Moment moment = next_moment();
    tick.now = moment.now;
    tick.views = table.ViewChangedSince(oldest, moment);
    tick.version = table.view_version();
  });
  const common::MonotonicTime::duration held = table_.clock().Monotonic() - began;
  for (const auto& watcher : watchers) watcher->OnTick(tick);
  return held;
}

}  // namespace ratelimitd
