#include "gateway/core/report_queue.h"

#include <algorithm>
#include <utility>

namespace gateway {

ReportQueue::Added ReportQueue::Add(AttemptReport report, common::MonotonicTime now) {
  const bool is_full = pending_.size() >= kMaxPending;
  if (is_full) {
    pending_.pop_front();
    DropAcknowledgedFront();
  }
  pending_.push_back({next_sequence_number_++, std::move(report), now, false});
  next_unsent_ = std::max(next_unsent_, pending_.front().sequence_number);
  return is_full ? Added::kInPlaceOfOldest : Added::kInFreeRoom;
}

const ReportQueue::Pending* ReportQueue::TakeUnsent() {
  while (HasUnsent()) {
    const Pending& next = pending_[next_unsent_ - pending_.front().sequence_number];
    ++next_unsent_;
    if (!next.is_acknowledged) return &next;
  }
  return nullptr;
}

void ReportQueue::SendAllAgain() {
  next_unsent_ = pending_.empty() ? next_sequence_number_ : pending_.front().sequence_number;
}

void ReportQueue::OnAcknowledged(uint64_t sequence_number) {
  if (pending_.empty() || sequence_number < pending_.front().sequence_number) return;
  const size_t index = sequence_number - pending_.front().sequence_number;
  if (index >= pending_.size()) return;
  pending_[index].is_acknowledged = true;
  DropAcknowledgedFront();
}

void ReportQueue::DropAcknowledgedFront() {
  while (!pending_.empty() && pending_.front().is_acknowledged) pending_.pop_front();
  const uint64_t oldest =
      pending_.empty() ? next_sequence_number_ : pending_.front().sequence_number;
  next_unsent_ = std::max(next_unsent_, oldest);
}

}  // namespace gateway
