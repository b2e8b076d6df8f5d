// What one gateway thread has to tell ratelimitd: numbered reports, each kept until it is
// acknowledged, and sent again on every new stream until then. Bounded; not thread-safe.
#pragma once

#include <cstdint>
#include <deque>

#include "common/clock.h"
#include "gateway/core/admission.h"

namespace gateway {

class ReportQueue {
 public:
  // Reports kept for a ratelimitd that is away; then the oldest go first.
  static constexpr size_t kMaxPending = 8192;

  struct Pending {
    uint64_t sequence_number = 0;
    AttemptReport report;
    common::MonotonicTime happened_at;
    bool is_acknowledged = false;
  };

  // Room was made by dropping the oldest report, or there was enough.
  enum class Added : uint8_t { kInFreeRoom, kInPlaceOfOldest };
  // Gives it the next number, counted from 1.
  Added Add(AttemptReport report, common::MonotonicTime now);

  // The first that this stream has not carried yet; null: none. Valid until the next call of a
  // function that is not const.
  const Pending* TakeUnsent();
  bool HasUnsent() const { return next_unsent_ < next_sequence_number_; }
  // A new stream begins: whatever is not acknowledged goes out again, since nobody knows what the
  // old one lost.
  void SendAllAgain();

  // Acknowledgements come in any order, and may be repeated.
  void OnAcknowledged(uint64_t sequence_number);

  bool IsEmpty() const { return pending_.empty(); }
  size_t size() const { return pending_.size(); }

 private:
  void DropAcknowledgedFront();

  std::deque<Pending> pending_;  // consecutive numbers, the front not acknowledged
  uint64_t next_sequence_number_ = 1;
  uint64_t next_unsent_ = 1;
};

}  // namespace gateway
