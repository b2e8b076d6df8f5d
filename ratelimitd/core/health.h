// Everything known about one key, a provider or a target: three independent facts (backoff,
// breaker, block), the state they amount to, and the last transitions for people. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ratelimitd/core/backoff.h"
#include "ratelimitd/core/block.h"
#include "ratelimitd/core/breaker.h"
#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

enum class Level : uint8_t { kProvider, kTarget };

// The most important fact in force, the last of this list first. Numbers are those of the proto.
enum class HealthState : uint8_t {
  kHealthy = 1,
  kRamping = 2,
  kBackingOff = 3,
  kHalfOpen = 4,
  kOpen = 5,
  kBlocked = 6,
};
inline constexpr int kHealthStates = 7;
std::string_view HealthStateName(HealthState state);

struct Transition {
  MonotonicTime at;
  HealthState from = HealthState::kHealthy;
  HealthState to = HealthState::kHealthy;
  std::string why;
  std::string reporter;

  template <typename Archive>
  static void Exchange(Archive& archive, auto& transition) {
    archive.Time(transition.at);
    archive.Choice(transition.from, HealthState::kBlocked);
    archive.Choice(transition.to, HealthState::kBlocked);
    archive.Text(transition.why, 512);
    archive.Text(transition.reporter, 128);
  }
};

// What survives a restart. Durations count from the moment of reading.
struct HealthRecord {
  milliseconds backoff_remaining{0};
  int backoff_count = 0;
  Breaker::Record breaker;
  Block::Record block;
  Cause cause{};
  std::string credential_fingerprint{};  // of a provider, empty when unknown

  // Whether it says nothing: such a record is deleted rather than kept.
  bool IsEmpty() const;
};

// What is left of `record` after `age` (negative counts as 0: a clock that was set back never makes
// anything longer than it was).
HealthRecord AgeRecord(HealthRecord record, milliseconds age);

class Health {
 public:
  static constexpr size_t kMaxHistory = 16;

  explicit Health(Level level) : level_(level) {}

  // Takes what time alone brings. Call before anything else at a new `now`. Returns whether the
  // consequence should be stored.
  bool Advance(const HealthSettings& settings, const Moment& moment, Order& order);

  Breaker::View Look(const HealthSettings& settings, MonotonicTime now,
                     Breaker::Resort resort) const;
  // Commits an admission that Look promised.
  void Admit(const HealthSettings& settings, const ProbeLease& lease, Order& order);

  enum class Effect : uint8_t {
    kCounted,  // nothing to store
    kChanged,  // a consequence to store
    kStale,    // only an older generation was concerned
  };
  // Applies a report to this level. `quorum`: hosts needed to open by UNREACHABLE.
  Effect Learn(const HealthSettings& settings, const Evidence& evidence,
               const AttemptReport& report, const Moment& moment, int quorum, Order& order);

  // A gateway remembers a refusal with this much time left. Ignored once this process has learned
  // about the key by itself. Returns whether anything changed.
  bool Relearn(RefusalReason reason, milliseconds remaining, const Evidence& teller,
               const Moment& moment, Order& order);
  // The provider's credential was changed. Returns whether that lifted a block.
  bool ClearByCredential(const Moment& moment, Order& order);
  void OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end);

  HealthRecord ToRecord(MonotonicTime now) const;
  void Restore(const HealthRecord& record, MonotonicTime now, Order& order);

  HealthState StateAt(MonotonicTime now) const;
  // Whether forgetting it would lose nothing.
  bool IsIdle(const HealthSettings& settings, MonotonicTime now) const;
  // When the state ends by itself or may be probed; nothing for healthy.
  std::optional<MonotonicTime> UntilAt(MonotonicTime now) const;
  const Cause& CauseAt(MonotonicTime now) const;
  // Since when the key is in its state; nothing when it has been healthy from the start.
  std::optional<MonotonicTime> since() const;
  int probes_out() const { return breaker_.probes_out() + block_.probes_out(); }
  WindowCounts WindowAt(const HealthSettings& settings, MonotonicTime now) const {
    return breaker_.window().CountsAt(now, settings.breaker.window);
  }
  const std::vector<Transition>& history() const { return history_; }
  // Rises with everything a watcher should see.
  uint64_t version() const { return version_; }

  // The window's counts that no other replica has seen yet.
  FailureWindow& window() { return breaker_.window(); }
  const FailureWindow& window() const { return breaker_.window(); }
  // Another replica's state was read into this: watchers should look.
  void NoteRead(uint64_t version_before) { version_ = version_before + 1; }
  bool HasLeaseOf(uint64_t reporter_id) const {
    return breaker_.HasLeaseOf(reporter_id) || block_.HasLeaseOf(reporter_id);
  }
  // What this replica knew while the shared state was away or had been lost: of two deadlines the
  // later one holds, and nothing ends earlier. Returns whether it added anything.
  bool Reassert(const HealthRecord& record, MonotonicTime now, Order& order);

  template <typename Archive>
  static void Exchange(Archive& archive, auto& health) {
    Backoff::Exchange(archive, health.backoff_);
    Breaker::Exchange(archive, health.breaker_);
    Block::Exchange(archive, health.block_);
    archive.Flag(health.has_learned_);
    if (!archive.IsWhole()) return;
    archive.Choice(health.last_state_, HealthState::kBlocked);
    archive.Time(health.last_until_);
    archive.List(health.history_, kMaxHistory,
                 [&](auto& transition) { Transition::Exchange(archive, transition); });
  }

 private:
  bool LearnLimits(const HealthSettings& settings, const Evidence& evidence,
                   const AttemptReport& report, const Moment& moment, Order& order);
  Breaker::Effect LearnBreaker(const HealthSettings& settings, const Evidence& evidence,
                               const Moment& moment, int quorum, Order& order);
  void Note(MonotonicTime now, bool is_time_driven);

  Level level_;
  Backoff backoff_;
  Breaker breaker_;
  Block block_;
  bool has_learned_ = false;  // from a report or a store, not only from a gateway's memory
  HealthState last_state_ = HealthState::kHealthy;
  MonotonicTime last_until_;
  std::vector<Transition> history_;
  uint64_t version_ = 0;
};

}  // namespace ratelimitd
