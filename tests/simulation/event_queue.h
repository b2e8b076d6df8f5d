// Simulated time: whatever happens is an event in this queue, and the clock jumps from one to the
// next. Events of one moment run in the order in which they were put. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "tests/support/fake_clock.h"

namespace simulation {

using common::MonotonicTime;
using std::chrono::nanoseconds;

class EventQueue {
 public:
  // The clock must outlive it; nobody else advances it.
  explicit EventQueue(candor_test::FakeClock& clock) : clock_(clock) {}

  MonotonicTime now() const { return clock_.Monotonic(); }

  void At(MonotonicTime when, std::function<void()> event) {
    events_.push_back({std::max(when, now()), ++last_number_, std::move(event)});
    std::push_heap(events_.begin(), events_.end(), IsLater);
  }
  void After(nanoseconds wait, std::function<void()> event) { At(now() + wait, std::move(event)); }

  // Runs what is due until `end`, or until `is_over` says so after an event.
  template <typename IsOver>
  void RunUntil(MonotonicTime end, IsOver is_over) {
    while (!events_.empty() && events_.front().when <= end && !is_over()) {
      std::pop_heap(events_.begin(), events_.end(), IsLater);
      Event event = std::move(events_.back());
      events_.pop_back();
      clock_.Advance(event.when - now());
      event.run();
    }
    if (!is_over()) clock_.Advance(end - now());
  }

 private:
  struct Event {
    MonotonicTime when;
    uint64_t number = 0;
    std::function<void()> run;
  };
  static bool IsLater(const Event& a, const Event& b) {
    return a.when != b.when ? a.when > b.when : a.number > b.number;
  }

  candor_test::FakeClock& clock_;
  std::vector<Event> events_;  // a heap
  uint64_t last_number_ = 0;
};

}  // namespace simulation
