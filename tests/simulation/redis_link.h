// One replica's way to the simulated Redis: it breaks, loses requests and replies, delivers late,
// and lets other replicas act between reading and writing. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/simulation/event_queue.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/told.h"
#include "tests/support/memory_shared_store.h"

namespace simulation {

class RedisLink final : public ratelimitd::SharedStateStore {
 public:
  struct World {
    const Scenario& scenario;
    EventQueue& events;
    candor_test::SimulatedRedis& redis;
    bool& is_whole;                        // nothing fails any more
    std::function<void()> on_trouble;      // an operation has failed, or takes effect late
    std::function<void()> let_others_act;  // before a commit takes effect
    std::function<Turn()> turn;            // the last of what has been judged
  };

  // All must outlive it; what it delivers late may outlive it.
  RedisLink(World world, Random random)
      : world_(std::move(world)), random_(random), store_(world_.redis) {}

  void BreakFor(nanoseconds length) { broken_until_ = world_.events.now() + length; }
  bool IsUp() const { return !world_.redis.is_away && world_.events.now() >= broken_until_; }

  // What the replica has read of a provider is as it was after this turn; 0: it has read nothing.
  Turn ReadAt(const std::string& provider) const;

  absl::StatusOr<ratelimitd::LoadResult> Load(
      std::span<const ratelimitd::DocumentRead> reads) override;
  absl::StatusOr<ratelimitd::CommitResult> Commit(
      std::span<const ratelimitd::DocumentWrite> writes) override;
  absl::StatusOr<std::vector<uint64_t>> ShareHosts(std::span<const uint64_t> hosts) override;
  absl::StatusOr<std::vector<std::string>> ShareProviders(
      std::span<const std::string> names) override;

 private:
  absl::Status Fail();
  void NoteRead(const ratelimitd::DocumentKey& key);
  absl::Status CommitLater(std::span<const ratelimitd::DocumentWrite> writes);

  World world_;
  Random random_;
  candor_test::MemorySharedStore store_;
  MonotonicTime broken_until_;
  std::map<std::string, Turn> read_at_;  // by provider
};

}  // namespace simulation
