// Remembers which numbers of a rising sequence were seen, in bounded memory: the newest 4096
// exactly, all older ones count as seen. Not thread-safe.
#pragma once

#include <bitset>
#include <cstdint>

namespace ratelimitd {

class SequenceMemory {
 public:
  static constexpr uint64_t kExact = 4096;

  // Whether `number` was not seen before; marks it seen. 0 is no number: always new.
  bool Add(uint64_t number) {
    if (number == 0) return true;
    if (number > newest_) {
      Advance(number);
    } else if (newest_ - number >= kExact || seen_[number % kExact]) {
      return false;
    }
    seen_[number % kExact] = true;
    return true;
  }

  bool Contains(uint64_t number) const {
    if (number == 0 || number > newest_) return false;
    return newest_ - number >= kExact || seen_[number % kExact];
  }

 private:
  void Advance(uint64_t number) {
    if (number - newest_ >= kExact) {
      seen_.reset();
    } else {
      while (newest_ != number) seen_[++newest_ % kExact] = false;
    }
    newest_ = number;
  }

  uint64_t newest_ = 0;
  std::bitset<kExact> seen_;
};

}  // namespace ratelimitd
