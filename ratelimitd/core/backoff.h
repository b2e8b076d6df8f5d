// The fact "the provider asked for time": set by RATE_LIMITED, cleared by time or by a success that
// was admitted after it was set. Its deadline only moves later, except by that proof.
// Not thread-safe.
#pragma once

#include <optional>

#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

class Backoff {
 public:
  // A 429 arrived. `figure` is the provider's own wait, counted from when it happened: clamped to
  // [1 s, ceiling] and up to 20 % more, never less. Without one, or with an absurd one (negative,
  // beyond a year): doubling from `initial`, ±25 %. Reports of attempts admitted before the current
  // backoff was set belong to the same event: they may move the deadline, never raise the count.
  // Returns whether the deadline moved; `order` is then the fact's stamp.
  bool Set(const BackoffSettings& settings, const Evidence& evidence,
           std::optional<milliseconds> figure, const Moment& moment, Order order);

  // A success arrived. Returns whether it ended a deadline that was in force.
  bool ClearBy(const Evidence& success, MonotonicTime now);

  // The deadline is at least `until`: knowledge from before a restart or from a gateway.
  void Restore(MonotonicTime until, int count, const Stamp& stamp, Cause cause);

  bool IsActive(MonotonicTime now) const { return now < until_; }
  MonotonicTime until() const { return until_; }
  const Stamp& stamp() const { return stamp_; }
  const Cause& cause() const { return cause_; }
  // Consecutive ones, decayed.
  int CountAt(MonotonicTime now) const;

  template <typename Archive>
  static void Exchange(Archive& archive, auto& backoff) {
    archive.Time(backoff.until_);
    archive.Number(backoff.count_, kHighestCount);
    Stamp::Exchange(archive, backoff.stamp_);
    Cause::Exchange(archive, backoff.cause_);
  }

 private:
  static constexpr uint64_t kHighestCount = 1'000'000;

  static milliseconds Length(const BackoffSettings& settings, std::optional<milliseconds> figure,
                             int count, double chance);

  MonotonicTime until_;
  int count_ = 0;
  Stamp stamp_;
  Cause cause_;
};

}  // namespace ratelimitd
