// What a replica has seen of the shared store's clock: when it was set, and by how much. Documents
// carry moments of that clock, as it was when they were written. Pure; not thread-safe.
#pragma once

#include <chrono>
#include <deque>

#include "common/clock.h"

namespace ratelimitd {

using common::MonotonicTime;

class StoreClock {
 public:
  // The clocks of a store and of the one that replaces it may differ by this without consequence.
  static constexpr std::chrono::milliseconds kTolerance = std::chrono::seconds(1);

  // The store has told `now` when this process took it to be `estimate`. Returns by how much its
  // clock was set, which is 0 within the tolerance. At the first time that is what `estimate` was
  // wrong by.
  std::chrono::microseconds Note(MonotonicTime estimate, MonotonicTime now);

  // How far what was written at a moment of the clock is to be moved to mean the same now. By the
  // steps that this process has seen; what is from the future all the same is from now.
  std::chrono::microseconds ShiftSince(MonotonicTime written_at) const;

 private:
  // A time in which the clock ran evenly, by itself.
  struct Epoch {
    MonotonicTime begin;                // perhaps earlier, by as long as nobody had looked
    MonotonicTime end;                  // of the last one: until now
    std::chrono::microseconds step{0};  // of the clock at its end
  };
  // There may be documents from before so many steps.
  static constexpr size_t kMaxEpochs = 16;

  std::deque<Epoch> epochs_;  // none until the store has told its time
};

}  // namespace ratelimitd
