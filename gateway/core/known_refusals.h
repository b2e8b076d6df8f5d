// What one gateway thread remembers of refusals, for the time when ratelimitd cannot be asked, and
// to teach a ratelimitd that has lost its state. Bounded; not thread-safe.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/clock.h"
#include "common/target.h"
#include "gateway/core/outcome.h"

namespace gateway {

class KnownRefusals {
 public:
  // More targets than this are not remembered.
  static constexpr size_t kMaxTargets = 1024;

  // ratelimitd refused these.
  void Learn(const std::vector<RefusedTarget>& refused, common::MonotonicTime now);
  // A provider failed while nobody could be asked: keep off it for what it said, else for a second.
  void LearnFailure(const common::Target& target, const Failure& failure,
                    common::MonotonicTime now);
  // ratelimitd admitted the target, so whatever was known is over.
  void Forget(const common::Target& target);
  // The provider has a new credential: what was refused to the old one is over.
  void ForgetCredential(std::string_view provider);
  // Those of now that have time left.
  std::vector<RefusedTarget> Remaining(common::MonotonicTime now) const;

 private:
  struct Entry {
    std::string reason;
    common::MonotonicTime until;
  };
  void Remember(const common::Target& target, std::string reason, common::MonotonicTime until,
                common::MonotonicTime now);

  absl::flat_hash_map<common::Target, Entry> entries_;
};

}  // namespace gateway
