#include "gateway/io/idle_connections.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "gateway/io/session.h"

namespace gateway {

IdleConnections::Place IdleConnections::Add(Session& session) {
  const Place place = entries_.insert(entries_.end(), {&session, loop_.clock.Monotonic()});
  Publish();
  if (debts_.load(std::memory_order_relaxed) > 0) ScheduleDebts();
  return place;
}

void IdleConnections::Remove(Place place) {
  entries_.erase(place);
  Publish();
}

common::MonotonicTime IdleConnections::oldest() const {
  const bool has_spare =
      count_.load(std::memory_order_relaxed) > debts_.load(std::memory_order_relaxed);
  return has_spare ? oldest_.load(std::memory_order_relaxed) : common::MonotonicTime::max();
}

bool IdleConnections::AskToCloseOldest() {
  const int most = std::min(count_.load(std::memory_order_relaxed), kMaxDebts);
  if (debts_.fetch_add(1, std::memory_order_relaxed) >= most) {
    debts_.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  ScheduleDebts();
  return true;
}

void IdleConnections::ScheduleDebts() {
  boost::asio::post(loop_.context, [this] { SettleDebts(); });
}

void IdleConnections::SettleDebts() {
  // Closing one takes its entry away.
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (debts_.load(std::memory_order_relaxed) <= 0) return;
    if (!(entry++)->session->CloseIfIdle()) continue;
    debts_.fetch_sub(1, std::memory_order_relaxed);
    metrics_.CountIdleClosed();
  }
}

void IdleConnections::Publish() {
  count_.store(static_cast<int>(entries_.size()), std::memory_order_relaxed);
  oldest_.store(entries_.empty() ? common::MonotonicTime::max() : entries_.front().since,
                std::memory_order_relaxed);
}

}  // namespace gateway
