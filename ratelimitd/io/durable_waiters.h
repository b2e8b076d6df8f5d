// Who waits for the store: acknowledgements go out only when what they acknowledge is durable.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

#include "ratelimitd/store/state_store.h"

namespace ratelimitd {

enum class Durability : uint8_t { kDurable, kGivenUp };

class DurableWaiters {
 public:
  using Then = std::function<void(Durability)>;

  // The store must outlive it.
  explicit DurableWaiters(const StateStore& store) : store_(store) {}

  // Calls `then` once everything up to `ticket` is durable: at once on this thread, or later on the
  // store's.
  void When(uint64_t ticket, Then then);
  // The store's event.
  void OnDurable(uint64_t ticket);
  // The server ends and the store could not follow: everybody is told so.
  void GiveUp();

 private:
  void Release(uint64_t ticket, Durability durability);

  const StateStore& store_;
  std::mutex mutex_;
  std::multimap<uint64_t, Then> waiting_;  // guarded by mutex_
};

}  // namespace ratelimitd
