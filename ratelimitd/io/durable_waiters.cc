#include "ratelimitd/io/durable_waiters.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace ratelimitd {

void DurableWaiters::When(uint64_t ticket, Then then) {
  Durability durability = Durability::kDurable;
  {
    const std::lock_guard lock(mutex_);
    if (!IsDurable(ticket)) {
      durability = Durability::kGivenUp;
      if (!has_given_up_) {
        waiting_.emplace(ticket, std::move(then));
        return;
      }
    }
  }
  then(durability);
}

void DurableWaiters::OnDurable(uint64_t ticket) {
  {
    const std::lock_guard lock(mutex_);
    durable_ = std::max(durable_.load(), ticket);
  }
  Release(ticket, Durability::kDurable);
}

void DurableWaiters::GiveUp() {
  {
    const std::lock_guard lock(mutex_);
    has_given_up_ = true;
  }
  Release(std::numeric_limits<uint64_t>::max(), Durability::kGivenUp);
}

void DurableWaiters::Release(uint64_t ticket, Durability durability) {
  std::vector<Then> ready;
  {
    const std::lock_guard lock(mutex_);
    const auto end = waiting_.upper_bound(ticket);
    for (auto it = waiting_.begin(); it != end; ++it) ready.push_back(std::move(it->second));
    waiting_.erase(waiting_.begin(), end);
  }
  for (const Then& then : ready) then(durability);
}

}  // namespace ratelimitd
