// The connections of one thread that wait for a request, in the order in which they began to. Any
// thread may ask that the one that has waited for the longest is closed, so that a new connection
// finds room. Adding and removing is for the owning thread; it costs no lock and no shared write
// that another thread competes for.
#pragma once

#include <atomic>
#include <list>

#include "common/clock.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/metrics.h"

namespace gateway {

class Session;

class IdleConnections {
 private:
  struct Entry {
    Session* session;
    common::MonotonicTime since;
  };

 public:
  using Place = std::list<Entry>::iterator;
  // What may be asked for and not be done yet; each is a connection above the limit for a moment.
  static constexpr int kMaxDebts = 64;

  // References must outlive this.
  IdleConnections(EventLoop& loop, Metrics& metrics) : loop_(loop), metrics_(metrics) {}

  // The place is good until Remove, which every Session calls before it ends.
  Place Add(Session& session);
  void Remove(Place place);

  // The rest is thread-safe.

  // Since when the oldest has waited; max() when there is none that is not asked for already.
  common::MonotonicTime oldest() const;
  // Has the owning thread close the oldest, at once or, if it just got a request, the next one that
  // becomes idle. False: there are too few of them, or kMaxDebts are asked for.
  bool AskToCloseOldest();

 private:
  void ScheduleDebts();
  void SettleDebts();
  void Publish();

  EventLoop& loop_;
  Metrics& metrics_;
  std::list<Entry> entries_;
  // What other threads see of entries_; written by the owning thread only.
  std::atomic<int> count_ = 0;
  std::atomic<common::MonotonicTime> oldest_ = common::MonotonicTime::max();
  std::atomic<int> debts_ = 0;
};

}  // namespace gateway
