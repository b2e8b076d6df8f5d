#include "gateway/core/memory_budget.h"

#include <utility>

namespace gateway {

bool MemoryBudget::Take(int64_t bytes, int64_t headroom, int64_t limit) {
  const int64_t before = held_.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes + headroom <= limit) return true;
  GiveBack(bytes);
  return false;
}

bool MemoryHold::Begin(int64_t bytes, int64_t limit) {
  limit_ = limit;
  return Take(bytes, (MemoryBudget::kHeadroom - 1) * bytes);
}

bool MemoryHold::Grow(int64_t bytes) { return Take(bytes, 0); }

void MemoryHold::Release() {
  if (held_ > 0) budget_.GiveBack(std::exchange(held_, 0));
}

bool MemoryHold::Take(int64_t bytes, int64_t headroom) {
  const int64_t steps = bytes / kStepBytes + 1;
  const int64_t missing = steps * kStepBytes - held_;
  if (missing <= 0) return true;
  if (!budget_.Take(missing, headroom, limit_)) return false;
  held_ += missing;
  return true;
}

}  // namespace gateway
