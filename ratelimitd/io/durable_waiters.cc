#include "ratelimitd/io/durable_waiters.h"

#include <limits>
#include <vector>

namespace ratelimitd {

void DurableWaiters::When(uint64_t ticket, Then then) {
  {
    const std::lock_guard lock(mutex_);
    // The store raises Durable before it reports, so nobody is left waiting between the two.
    if (store_.Durable() < ticket) {
      waiting_.emplace(ticket, std::move(then));
      return;
    }
  }
  then(Durability::kDurable);
}

void DurableWaiters::OnDurable(uint64_t ticket) { Release(ticket, Durability::kDurable); }

void DurableWaiters::GiveUp() {
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
