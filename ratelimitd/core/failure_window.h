// Calls and failures of the last minute (a setting), in twelve buckets that age by themselves, and
// how many admissions a second there were. Not thread-safe.
#pragma once

#include <array>
#include <cstdint>

#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

struct WindowCounts {
  int64_t calls = 0;
  int64_t failures = 0;
  int64_t admissions = 0;
};

class FailureWindow {
 public:
  enum class Entry { kAdmission, kSuccess, kFailure };

  void Add(Entry entry, MonotonicTime now, milliseconds window);
  WindowCounts CountsAt(MonotonicTime now, milliseconds window) const;
  // Admissions a second over the part of the window that has been watched (at least one second).
  double AdmissionRateAt(MonotonicTime now, milliseconds window) const;
  void Clear() { *this = FailureWindow(); }

 private:
  static constexpr int kBuckets = 12;
  struct Bucket {
    int64_t index = -1;   // which stretch of time since the clock's epoch; -1: empty
    MonotonicTime began;  // its first entry
    uint32_t calls = 0;
    uint32_t failures = 0;
    uint32_t admissions = 0;
  };

  std::array<Bucket, kBuckets> buckets_;
};

}  // namespace ratelimitd
