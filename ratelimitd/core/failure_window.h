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

  // Admissions and successes that were added here since the last SetFresh({}): they commute, so
  // that a replica may share them a little later than the rest.
  struct Fresh {
    uint32_t admissions = 0;
    uint32_t successes = 0;
    bool operator==(const Fresh&) const = default;
  };
  const Fresh& fresh() const { return fresh_; }
  void SetFresh(const Fresh& fresh) { fresh_ = fresh; }
  // Adds counts, which are fresh from then on, to a window read from elsewhere.
  void AddFresh(const Fresh& fresh, MonotonicTime now, milliseconds window);

  template <typename Archive>
  static void Exchange(Archive& archive, auto& window) {
    if (!archive.IsWhole()) {
      uint64_t failures = 0;
      for (const Bucket& bucket : window.buckets_) failures += bucket.failures;
      archive.Number(failures);
      return;
    }
    for (auto& bucket : window.buckets_) {
      auto number = static_cast<uint64_t>(bucket.index + 1);
      archive.Number(number, kHighestIndex);
      if constexpr (Archive::kIsReader) bucket.index = static_cast<int64_t>(number) - 1;
      if (number == 0) continue;
      archive.Time(bucket.began);
      archive.Number(bucket.calls, UINT32_MAX);
      archive.Number(bucket.failures, UINT32_MAX);
      archive.Number(bucket.admissions, UINT32_MAX);
    }
  }

 private:
  static constexpr uint64_t kHighestIndex = uint64_t{1} << 62;

  static constexpr int kBuckets = 12;
  struct Bucket {
    int64_t index = -1;   // which stretch of time since the clock's epoch; -1: empty
    MonotonicTime began;  // its first entry
    uint32_t calls = 0;
    uint32_t failures = 0;
    uint32_t admissions = 0;
  };

  Bucket& BucketAt(MonotonicTime now, milliseconds window);

  std::array<Bucket, kBuckets> buckets_;
  Fresh fresh_;
};

}  // namespace ratelimitd
