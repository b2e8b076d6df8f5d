// What must hold for an operator's words about one provider that only he speaks of, judged from
// outside: which overrides, resets and limits each process of ratelimitd must know, and may know.
// It is told what was done where; whoever was on its own need not know of the others. Not
// thread-safe.
//
//   O1  an override in force is obeyed by every process that must know it, and no earlier one is
//   O2  an override ends when its time is over
//   O3  what was reset is admitted again, until a limit that came later
#pragma once

#include <optional>
#include <vector>

#include "ratelimitd/core/operator_override.h"
#include "tests/simulation/breaker_watch.h"
#include "tests/simulation/where.h"

namespace simulation {

class RulingWatch {
 public:
  // Facts that a limit may become; a reset of the target alone leaves the others.
  enum class Fact : uint8_t { kOfTarget, kOfProvider, kBlock };
  enum class Reach : uint8_t { kTarget, kProvider };

  void OnOverride(Where where, ratelimitd::OverrideMode mode, milliseconds length,
                  MonotonicTime now);
  void OnReset(Where where, Reach reach, MonotonicTime now);
  // A limit was reported; `longest`: with its jitter.
  void OnLimit(Where where, Fact fact, milliseconds shortest, milliseconds longest,
               MonotonicTime now);
  // What a process would answer to an ask for the target.
  std::optional<Finding> OnAnswer(Where where, const ratelimitd::TargetDecision& decision,
                                  MonotonicTime now) const;

  void OnProcessEnded(int process);
  // Every living process has told the others what it knows.
  void OnCertainty(MonotonicTime now);
  // The store has lost what it was told since then.
  void OnLoss(MonotonicTime since);
  // The store's clock was set: what is left may have its whole length again, or be over.
  void OnClockStep(MonotonicTime now);
  // A process that was alone has put back what it found, if anything, by a clock that may have
  // been set.
  void OnRestart(MonotonicTime now);

 private:
  // Something that was done at one process.
  struct Claim {
    MonotonicTime at;
    int giver = 0;            // 0: it is gone
    bool is_stored = false;   // whoever reads the store knows it
    MonotonicTime stored_at;  // at the latest
    milliseconds longest{0};
    MonotonicTime floor, ceiling;  // when it ends
  };
  struct Word : Claim {
    ratelimitd::OverrideMode mode = ratelimitd::OverrideMode::kNone;
  };
  struct Reset : Claim {
    Reach reach = Reach::kTarget;
  };
  struct Limit : Claim {
    Fact fact = Fact::kOfTarget;
  };
  // What an answer may show: each mode, and whether the facts refuse.
  struct Expected {
    bool modes[ratelimitd::kOverrideModes] = {};
    bool may_refuse = false;
    bool may_admit = false;
  };

  template <typename Do>
  void EachClaim(Do act);
  static Claim MakeClaim(Where where, MonotonicTime now);
  static bool MustKnow(Where where, const Claim& claim);
  Expected Expect(Where where, MonotonicTime now) const;
  void ExpectModes(Where where, MonotonicTime now, Expected& expected) const;
  void ExpectFacts(Where where, MonotonicTime now, Expected& expected) const;

  std::vector<Word> words_;
  std::vector<Reset> resets_;
  std::vector<Limit> limits_;
};

}  // namespace simulation
