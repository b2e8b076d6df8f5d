// What happened in a run, as a hash of everything and as text of the last events. Two runs of one
// seed must have the same hash. Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <iostream>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/simulation/event_queue.h"

namespace simulation {

class Trace {
 public:
  enum class Printing : uint8_t { kNothing, kEverything };

  Trace(const EventQueue& events, Printing printing)
      : events_(events), began_(events.now()), printing_(printing) {}

  // `what` is one word; the values are ids, numbers of enumerators and milliseconds.
  void Note(const char* what, std::initializer_list<int64_t> values) {
    const int64_t at = (events_.now() - began_).count();
    for (const char* c = what; *c != 0; ++c) Mix(static_cast<uint64_t>(*c));
    Mix(static_cast<uint64_t>(at));
    for (const int64_t value : values) Mix(static_cast<uint64_t>(value));
    if (printing_ == Printing::kNothing) return;
    std::cout << absl::StreamFormat("%12.6f %s", static_cast<double>(at) / 1e9, what);
    for (const int64_t value : values) std::cout << ' ' << value;
    std::cout << '\n';
  }

  uint64_t hash() const { return hash_; }

 private:
  void Mix(uint64_t value) {
    hash_ = (hash_ ^ value) * 0x100000001b3;
    hash_ ^= hash_ >> 29;
  }

  const EventQueue& events_;
  MonotonicTime began_;
  Printing printing_;
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace simulation
