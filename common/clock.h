// Time as two types that do not mix: intervals and deadlines are MonotonicTime, calendar dates
// (from headers, for people) are WallTime. Only SystemClock and main.cc ask the operating system.
// Thread-safe: a Clock may be read from any thread.
#pragma once

#include <chrono>

namespace common {

using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Monotonic() const = 0;
  virtual WallTime Wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime Monotonic() const override;
  WallTime Wall() const override;
};

}  // namespace common
