// How much memory the bodies of all requests and answers may take, over all threads, and what one
// request holds of it. What counts are bytes as they are kept; what the allocator and the kernel
// add is not seen. Pure.
//
// The dearest go first: a new request is taken in only while kHeadroom times its size is free, so
// that large ones are turned away before small ones, and what is under way finds room for its
// answer. A request that has begun may take all there is.
#pragma once

#include <atomic>
#include <cstdint>

namespace gateway {

// Thread-safe.
class MemoryBudget {
 public:
  // A body larger than the limit by this could never be taken in.
  static constexpr int64_t kHeadroom = 4;

  // False, and nothing has changed: with `headroom` more bytes the limit would be exceeded.
  bool Take(int64_t bytes, int64_t headroom, int64_t limit);
  void GiveBack(int64_t bytes) { held_.fetch_sub(bytes, std::memory_order_relaxed); }
  int64_t held() const { return held_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> held_ = 0;
};

// Grows in large steps, so that the threads seldom meet at the budget. Not thread-safe.
class MemoryHold {
 public:
  // What a request holds at least, and the step.
  static constexpr int64_t kStepBytes = 16 << 10;

  // `budget` must outlive the hold.
  explicit MemoryHold(MemoryBudget& budget) : budget_(budget) {}
  ~MemoryHold() { Release(); }
  MemoryHold(const MemoryHold&) = delete;
  MemoryHold& operator=(const MemoryHold&) = delete;

  // From now on `limit` holds, and at least `bytes` are held for a request that has not begun.
  // False: there is no room.
  bool Begin(int64_t bytes, int64_t limit);
  // At least `bytes` are held for one that is under way. False: there is no room.
  bool Grow(int64_t bytes);
  void Release();

  int64_t held() const { return held_; }

 private:
  bool Take(int64_t bytes, int64_t headroom);

  MemoryBudget& budget_;
  int64_t limit_ = 0;
  int64_t held_ = 0;
};

}  // namespace gateway
