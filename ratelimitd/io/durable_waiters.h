// Who waits for the store: acknowledgements go out only when what they acknowledge is durable.
// Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

namespace ratelimitd {

enum class Durability : uint8_t { kDurable, kGivenUp };

class DurableWaiters {
 public:
  using Then = std::function<void(Durability)>;

  bool IsDurable(uint64_t ticket) const { return durable_.load() >= ticket; }
  // Calls `then` once everything up to `ticket` is durable: at once on this thread, or later on the
  // store's.
  void When(uint64_t ticket, Then then);
  // The store's event.
  void OnDurable(uint64_t ticket);
  // The server ends and the store could not follow: everybody is told so, now and from now on.
  void GiveUp();

 private:
  void Release(uint64_t ticket, Durability durability);

  std::atomic<uint64_t> durable_ = 0;
  std::mutex mutex_;
  bool has_given_up_ = false;              // guarded by mutex_
  std::multimap<uint64_t, Then> waiting_;  // guarded by mutex_
};

}  // namespace ratelimitd
