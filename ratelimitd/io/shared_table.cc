#include "ratelimitd/io/shared_table.h"

namespace ratelimitd {

SharedTable::SharedTable(TableSettings settings, uint64_t seed, const common::Clock& clock,
                         StateStore& store)
    : clock_(clock),
      store_(store),
      random_(seed),
      table_(std::move(settings), static_cast<uint32_t>(random_())) {}

void SharedTable::Restore(const std::vector<StoredRecord>& records) {
  const std::lock_guard lock(mutex_);
  const common::MonotonicTime now = clock_.Monotonic();
  for (const StoredRecord& stored : records) table_.Restore(stored.record, stored.age, now);
}

double SharedTable::NextChance() {
  constexpr double kTwoToThe53 = 9007199254740992.0;
  return static_cast<double>(random_() >> 11) / kTwoToThe53;
}

void SharedTable::Settle(common::MonotonicTime now) {
  // Put only queues; under the mutex it keeps the order of the updates.
  std::vector<KeyRecord> consequences = table_.TakeConsequences(now);
  if (!consequences.empty()) last_ticket_ = store_.Put(std::move(consequences), clock_.Wall());
  if (table_.view_version() == seen_version_) return;
  seen_version_ = table_.view_version();
  wake_();
}

}  // namespace ratelimitd
