// Everything known about one key, a provider or a target: three independent facts (backoff,
// breaker, block), what an operator has decided above them, the state they amount to, and the last
// transitions for people. Not thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ratelimitd/core/backoff.h"
#include "ratelimitd/core/block.h"
#include "ratelimitd/core/breaker.h"
#include "ratelimitd/core/evidence.h"
#include "ratelimitd/core/operator_override.h"
#include "ratelimitd/core/settings.h"

namespace ratelimitd {

enum class Level : uint8_t { kProvider, kTarget };

// An operator's word, or the most important fact in force, the last of these first. Numbers are
// those of the proto.
enum class HealthState : uint8_t {
  kHealthy = 1,
  kRamping = 2,
  kBackingOff = 3,
  kHalfOpen = 4,
  kOpen = 5,
  kBlocked = 6,
  kObserveOnly = 7,
  kForcedClosed = 8,
  kForcedOpen = 9,
};
inline constexpr HealthState kLastHealthState = HealthState::kForcedOpen;
inline constexpr int kHealthStates = 10;
std::string_view HealthStateName(HealthState state);
// Whether `a` keeps more requests from being served than `b`.
bool IsMoreSerious(HealthState a, HealthState b);

struct Transition {
  MonotonicTime at;
  HealthState from = HealthState::kHealthy;
  HealthState to = HealthState::kHealthy;
  std::string why;
  std::string reporter;

  template <typename Archive>
  static void Exchange(Archive& archive, auto& transition) {
    archive.Time(transition.at);
    archive.Choice(transition.from, kLastHealthState);
    archive.Choice(transition.to, kLastHealthState);
    archive.Text(transition.why, 512);
    archive.Text(transition.reporter, 128);
  }
};

// What survives a restart. Durations count from the moment of reading.
struct HealthRecord {
  milliseconds backoff_remaining{0};
  milliseconds backoff_elapsed{0};  // since it was set; after a restart 0
  int backoff_count = 0;
  Breaker::Record breaker;
  Block::Record block;
  Cause cause{};                         // of the most important fact
  std::string credential_fingerprint{};  // of a provider, empty when unknown
  OperatorOverride::Record ruling{};

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

  // An operator's word: in force until `until`, or the end of the one in force (kNone).
  void Override(OverrideMode mode, MonotonicTime until, Cause cause, MonotonicTime now,
                Order& order);
  // Forgets the facts, not an override.
  void Reset(Cause cause, MonotonicTime now, Order& order);
  const OperatorOverride& ruling() const { return override_; }
  // Admissions since the override began that were against the facts, as far as this process gave
  // them.
  uint64_t overruled() const { return overruled_; }
  void CountOverruled() { ++overruled_; }

  HealthRecord ToRecord(MonotonicTime now) const;
  void Restore(const HealthRecord& record, MonotonicTime now, Order& order);

  HealthState StateAt(MonotonicTime now) const;
  // What it would be without an operator's word.
  HealthState LearnedStateAt(MonotonicTime now) const;
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
  // This is another replica's state and comes in the place of `before`: watchers should look.
  // The counts that only this replica knows go over, unless the other has begun a generation.
  void TakeOverFrom(const Health& before, const HealthSettings& settings, MonotonicTime now);
  // The layout of bytes that can say all of this. Replicas of an earlier version read the first.
  int Layout() const { return override_.Layout(); }
  bool HasLeaseOf(uint64_t reporter_id) const {
    return breaker_.HasLeaseOf(reporter_id) || block_.HasLeaseOf(reporter_id);
  }
  // What this replica knew while the shared state was away or had been lost: of two deadlines the
  // later one holds, and nothing ends earlier, but by a reset that one side has not heard of: what
  // was set before it is forgotten. `reset_at`: the provider's, for a target; the epoch: none.
  // Returns whether it changed anything.
  bool Reassert(HealthRecord record, MonotonicTime reset_at, MonotonicTime now, Order& order);
  // Forgets the facts set before a reset. Returns whether there were any.
  bool ForgetBefore(MonotonicTime reset_at, MonotonicTime now);

  template <typename Archive>
  static void Exchange(Archive& archive, auto& health) {
    Backoff::Exchange(archive, health.backoff_);
    Breaker::Exchange(archive, health.breaker_);
    Block::Exchange(archive, health.block_);
    archive.Flag(health.has_learned_);
    if (archive.IsLayout(OperatorOverride::kFirstLayout)) {
      OperatorOverride::Exchange(archive, health.override_);
    }
    if (!archive.IsWhole()) return;
    archive.Choice(health.last_state_, kLastHealthState);
    archive.Time(health.last_until_);
    archive.List(health.history_, kMaxHistory,
                 [&](auto& transition) { Transition::Exchange(archive, transition); });
  }

 private:
  std::optional<MonotonicTime> LearnedUntilAt(MonotonicTime now) const;
  const Cause& LearnedCauseAt(MonotonicTime now) const;
  bool LearnLimits(const HealthSettings& settings, const Evidence& evidence,
                   const AttemptReport& report, const Moment& moment, Order& order);
  Breaker::Effect LearnBreaker(const HealthSettings& settings, const Evidence& evidence,
                               const Moment& moment, int quorum, Order& order);
  void Note(MonotonicTime now, bool is_time_driven);
  // As Note; when the key is healthy, because of `cause`.
  void Note(MonotonicTime now, bool is_time_driven, const Cause& cause);

  Level level_;
  Backoff backoff_;
  Breaker breaker_;
  Block block_;
  OperatorOverride override_;
  uint64_t overruled_ = 0;
  bool has_learned_ = false;  // from a report or a store, not only from a gateway's memory
  HealthState last_state_ = HealthState::kHealthy;
  MonotonicTime last_until_;
  std::vector<Transition> history_;
  uint64_t version_ = 0;
};

}  // namespace ratelimitd
