// What an operator has decided about one key by hand, for a while. It stands above what reports
// have taught (backoff, breaker, block), which goes on being learned beneath it; never above
// configured limits. Ends by itself. Not thread-safe.
//
// Of two levels the one that is forced open decides; else everything is admitted that either level
// lets pass.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ratelimitd/core/breaker.h"
#include "ratelimitd/core/evidence.h"

namespace ratelimitd {

// Numbers are those of the proto. Of two in force the higher one decides.
enum class OverrideMode : uint8_t {
  kNone = 0,
  kObserveOnly = 1,   // admits everything; what would have been refused is counted
  kForcedClosed = 2,  // admits everything
  kForcedOpen = 3,    // admits nothing
};
inline constexpr int kOverrideModes = 4;

// "observe_only", "forced_open": for metrics.
std::string_view OverrideModeName(OverrideMode mode);

// What an operator does to a key, as a sentence with the reason in it.
std::string DescribeOverride(OverrideMode mode, std::string_view reason);
std::string DescribeReset(std::string_view reason);

class OperatorOverride {
 public:
  struct Record {
    OverrideMode mode = OverrideMode::kNone;
    milliseconds remaining{0};
    Cause cause{};
    // How long ago it was decided, or that none is to be in force, and when the facts were last
    // reset; nothing: never, as far as is known. Unknown after a restart.
    std::optional<milliseconds> since_word{};
    std::optional<milliseconds> since_reset{};
  };

  // kNone ends the one in force. Begins a generation, as every call of an operator does: what was
  // admitted before `stamp` teaches nothing any more.
  void Set(OverrideMode mode, MonotonicTime until, const Stamp& stamp, Cause cause);
  // Only begins a generation: facts from before are forgotten.
  void Reset(const Stamp& stamp) {
    stamp_ = stamp;
    reset_at_ = stamp.at;
  }
  // What another replica was told; of two words the later one holds. Each returns whether that is
  // news: it then begins a generation with the next number of `order`.
  bool HearOfWord(const Record& record, MonotonicTime now, Order& order);
  bool HearOfReset(const Record& record, MonotonicTime now, Order& order);
  // Ends it when its time has come.
  void Advance(MonotonicTime now);

  bool IsSet() const { return mode_ != OverrideMode::kNone; }
  OverrideMode mode() const { return mode_; }
  MonotonicTime until() const { return until_; }
  MonotonicTime began() const { return began_; }
  const Cause& cause() const { return cause_; }
  const Stamp& stamp() const { return stamp_; }
  // Of the last reset; the epoch: none is known.
  MonotonicTime reset_at() const { return reset_at_; }
  // The layout of bytes that can say all of this; 1 says nothing of operators.
  int Layout() const;
  // Whether the attempt was admitted before an operator began a generation.
  bool IsOutdated(const Evidence& evidence) const {
    return stamp_.order != 0 && evidence.Predates(stamp_);
  }

  Record ToRecord(MonotonicTime now) const;

  template <typename Archive>
  static void Exchange(Archive& archive, auto& ruling) {
    archive.Choice(ruling.mode_, OverrideMode::kForcedOpen);
    archive.Time(ruling.until_);
    archive.Time(ruling.began_);
    Stamp::Exchange(archive, ruling.stamp_);
    Cause::Exchange(archive, ruling.cause_);
    if (archive.IsLayout(kResetLayout)) archive.Time(ruling.reset_at_);
  }

  static constexpr int kFirstLayout = 2;

 private:
  static constexpr int kResetLayout = 3;

  OverrideMode mode_ = OverrideMode::kNone;
  MonotonicTime until_;
  MonotonicTime began_;
  Stamp stamp_;  // of the last thing that an operator did
  MonotonicTime reset_at_;
  Cause cause_;
};

// The stronger of both, null: none. The answer under it to an ask to which facts alone would answer
// `learned`; an admission against them names in `overruled` why they would have refused.
Breaker::View Overrule(const OperatorOverride* strongest, const Breaker::View& learned);

}  // namespace ratelimitd
