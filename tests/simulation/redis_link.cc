#include "tests/simulation/redis_link.h"

#include <utility>

namespace simulation {
namespace {

using namespace std::chrono_literals;

}  // namespace

absl::Status RedisLink::Fail() {
  world_.on_trouble();
  return absl::UnavailableError("away");
}

void RedisLink::NoteRead(const ratelimitd::DocumentKey& key) {
  if (key.kind == ratelimitd::DocumentKind::kProvider) read_at_[key.name] = world_.turn();
}

Turn RedisLink::ReadAt(const std::string& provider) const {
  const auto found = read_at_.find(provider);
  return found == read_at_.end() ? 0 : found->second;
}

absl::StatusOr<ratelimitd::LoadResult> RedisLink::Load(
    std::span<const ratelimitd::DocumentRead> reads) {
  if (!IsUp()) return Fail();
  for (const ratelimitd::DocumentRead& read : reads) NoteRead(read.key);
  return store_.Load(reads);
}

absl::StatusOr<ratelimitd::CommitResult> RedisLink::Commit(
    std::span<const ratelimitd::DocumentWrite> writes) {
  if (random_.Happens(world_.scenario.conflict_share)) world_.let_others_act();
  if (!IsUp()) return Fail();
  if (world_.is_whole || !random_.Happens(world_.scenario.lost_commit_share)) {
    auto result = store_.Commit(writes);
    // A conflict tells of these documents, and of no other that the run has read before.
    for (const ratelimitd::DocumentWrite& write : writes) NoteRead(write.key);
    return result;
  }
  // As after a timeout, the connection is made anew.
  BreakFor(random_.Between(50ms, 1s));
  switch (random_.Between(0, 2)) {
    case 0:
      return Fail();
    case 1:
      store_.Commit(writes).IgnoreError();
      return Fail();
    default:
      return CommitLater(writes);
  }
}

absl::Status RedisLink::CommitLater(std::span<const ratelimitd::DocumentWrite> writes) {
  std::vector<ratelimitd::DocumentWrite> kept(writes.begin(), writes.end());
  world_.events.After(random_.Between(1ms, 40ms), [&redis = world_.redis, kept = std::move(kept),
                                                   on_trouble = world_.on_trouble] {
    candor_test::MemorySharedStore store(redis);
    store.Commit(kept).IgnoreError();
    on_trouble();
  });
  return Fail();
}

absl::StatusOr<std::vector<uint64_t>> RedisLink::ShareHosts(std::span<const uint64_t> hosts) {
  if (!IsUp()) return Fail();
  return store_.ShareHosts(hosts);
}

absl::StatusOr<std::vector<std::string>> RedisLink::ShareProviders(
    std::span<const std::string> names) {
  if (!IsUp()) return Fail();
  return store_.ShareProviders(names);
}

}  // namespace simulation
