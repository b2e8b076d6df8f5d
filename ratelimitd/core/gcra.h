// The generic cell rate algorithm: a rate limit in one number. A minute's worth may come at once,
// then it trickles. Not thread-safe.
#pragma once

#include <cstdint>

#include "common/clock.h"

namespace ratelimitd {

using common::MonotonicTime;

class Gcra {
 public:
  // When `cost` conforms to `per_minute` (0: no limit); `now` or earlier: at once. A cost above a
  // whole minute's worth conforms once nothing is owed.
  MonotonicTime ReadyAt(int64_t per_minute, int64_t cost, MonotonicTime now) const;
  // How much conforms at once.
  int64_t Remaining(int64_t per_minute, MonotonicTime now) const;
  // Until nothing is owed.
  std::chrono::nanoseconds UntilFull(MonotonicTime now) const;
  // Takes `cost`, conforming or not; a negative one gives back. At most an hour is ever owed.
  void Take(int64_t per_minute, int64_t cost, MonotonicTime now);
  // Whether nothing is owed: a new one would say the same.
  bool IsIdle(MonotonicTime now) const { return paid_until_ <= now; }

  template <typename Archive>
  static void Exchange(Archive& archive, auto& gcra) {
    archive.Time(gcra.paid_until_);
  }

 private:
  MonotonicTime paid_until_;  // the "theoretical arrival time"
};

}  // namespace ratelimitd
