// The last reports that changed what replicas share, so that one repeated to another replica counts
// once. Bounded. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ratelimitd {

class RecentReports {
 public:
  static constexpr size_t kMost = 256;

  bool Contains(uint64_t reporter_id, uint64_t sequence_number) const {
    return std::find(seen_.begin(), seen_.end(), Seen{reporter_id, sequence_number}) != seen_.end();
  }
  // The oldest one makes room.
  void Add(uint64_t reporter_id, uint64_t sequence_number) {
    if (seen_.size() == kMost) seen_.erase(seen_.begin());
    seen_.push_back({reporter_id, sequence_number});
  }

  template <typename Archive>
  static void Exchange(Archive& archive, auto& recent) {
    archive.List(recent.seen_, kMost, [&](auto& seen) {
      archive.Number(seen.reporter_id);
      archive.Number(seen.sequence_number);
    });
  }

 private:
  struct Seen {
    uint64_t reporter_id = 0;
    uint64_t sequence_number = 0;
    bool operator==(const Seen&) const = default;
  };
  std::vector<Seen> seen_;
};

}  // namespace ratelimitd
