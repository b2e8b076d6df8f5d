// Chance for the simulation: splitmix64, so that a seed means the same on every machine and with
// every compiler. Each part of the world has a generator of its own, so that switching one part off
// leaves the others' choices as they were. Not thread-safe.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdint>

namespace simulation {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  // The generator of one part; `part` tells them apart.
  static Random ForPart(uint64_t seed, uint64_t part) {
    Random mixer(seed * 0x9e3779b97f4a7c15 + part);
    return Random(mixer.Next());
  }

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double Share() { return static_cast<double>(Next() >> 11) / 9007199254740992.0; }
  bool Happens(double probability) { return Share() < probability; }
  // In [lowest, highest].
  int Between(int lowest, int highest) {
    return lowest + static_cast<int>(Next() % static_cast<uint64_t>(highest - lowest + 1));
  }
  std::chrono::nanoseconds Between(std::chrono::nanoseconds lowest,
                                   std::chrono::nanoseconds highest) {
    const double span = static_cast<double>((highest - lowest).count());
    return lowest + std::chrono::nanoseconds(static_cast<int64_t>(span * Share()));
  }
  // Until the next of events that come without memory.
  std::chrono::nanoseconds Interval(std::chrono::nanoseconds mean) {
    const double factor = -std::log(1.0 - Share());
    return std::chrono::nanoseconds(
        static_cast<int64_t>(static_cast<double>(mean.count()) * factor) + 1);
  }
  template <typename List>
  const auto& OneOf(const List& list) {
    return list[static_cast<size_t>(Next() % std::size(list))];
  }

 private:
  uint64_t state_;
};

}  // namespace simulation
