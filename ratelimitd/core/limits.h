// The limits of one client or provider: requests and tokens a minute, and requests at the same
// time, as leases that a report ends and that run out by themselves. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "ratelimitd/core/breaker.h"
#include "ratelimitd/core/gcra.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

// What an attempt used beyond its estimate. One that cannot have used any gives its estimate back.
int64_t TokensBeyondEstimate(const AttemptReport& report, int64_t estimate);

// What one attempt takes.
struct LimitCost {
  int64_t requests = 1;
  int64_t tokens = 0;  // an estimate
};

class Limits {
 public:
  struct Lease {
    uint64_t id = 0;  // 0: none is needed
    uint64_t reporter_id = 0;
    MonotonicTime until{};
  };

  // `reason` is what a refusal gives.
  Breaker::View Look(const LimitSettings& settings, int64_t cost_tokens, RefusalReason reason,
                     MonotonicTime now);
  // Commits an admission.
  void Take(const LimitSettings& settings, const LimitCost& cost, const Lease& lease,
            MonotonicTime now);
  LimitStatus Status(const LimitSettings& settings, MonotonicTime now) const;
  // Requests that run now; counted only where their number is limited.
  int64_t Running(MonotonicTime now) const;
  // The attempt is over: ends its lease and corrects the estimate by `more_tokens` (may be
  // negative).
  void Settle(const LimitSettings& settings, uint64_t lease_id, int64_t more_tokens,
              MonotonicTime now);
  void OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end);
  bool IsIdle(MonotonicTime now) const;
  bool HasLeaseOf(uint64_t reporter_id) const {
    return std::any_of(permits_.begin(), permits_.end(),
                       [&](const auto& item) { return item.second.reporter_id == reporter_id; });
  }

  template <typename Archive>
  static void Exchange(Archive& archive, auto& limits) {
    Gcra::Exchange(archive, limits.requests_);
    Gcra::Exchange(archive, limits.tokens_);
    archive.Pairs(limits.permits_, kMaxPermits, [&](auto& permit) {
      archive.Number(permit.reporter_id);
      archive.Time(permit.until);
    });
  }

 private:
  static constexpr size_t kMaxPermits = 1'000'000;

  struct Permit {
    uint64_t reporter_id = 0;
    MonotonicTime until;
  };

  Gcra requests_;
  Gcra tokens_;
  absl::flat_hash_map<uint64_t, Permit> permits_;  // at most the limit of concurrent requests
};

}  // namespace ratelimitd
