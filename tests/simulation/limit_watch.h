// What must hold for the limits of one client and one provider that only he asks, judged from
// outside: it is told what was admitted and reported where, and keeps what every process of
// ratelimitd must count, and what it may count; whoever was on its own need not know of the others.
// Not thread-safe.
//
//   L1  nobody is admitted beyond a limit, of all that the process must know
//   L2  nobody is refused within the limits, of all that it may know, nor told to wait for longer;
//       a request whose lease is over counts no more, whether it was reported or not
//   L3  what is told to be left is left
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "ratelimitd/core/attempt.h"
#include "ratelimitd/core/settings.h"
#include "tests/simulation/breaker_watch.h"
#include "tests/simulation/where.h"

namespace simulation {

class LimitWatch {
 public:
  // `client`, `provider`: the limits under which the client asks.
  LimitWatch(const ratelimitd::LimitSettings& client, const ratelimitd::LimitSettings& provider)
      : client_(client), provider_(provider) {}

  // An ask's answer. `request` is the asker's number of it; its lease ends at `lease_end`.
  struct Ask {
    uint64_t request = 0;
    int64_t tokens = 0;
    MonotonicTime lease_end;
  };
  std::optional<Finding> OnAnswer(Where where, const Ask& ask, const ratelimitd::Verdict& verdict,
                                  MonotonicTime now);
  // A report that ends the request, once or again, and takes `more_tokens` (may be negative).
  void OnReport(Where where, uint64_t request, int64_t more_tokens, MonotonicTime now);

  // A process has read the store: what it had decided on its own may be lost.
  void OnShared(int process) { alone_since_.erase(process); }
  // The store has lost what it was told since then.
  void OnLoss(MonotonicTime since);
  // A process that keeps no counts was started anew.
  void OnRestart() { events_.clear(); }

 private:
  // What was taken or given back.
  struct Event {
    MonotonicTime at;
    Where where;
    bool is_stored = false;  // whoever reads the store knows it
    uint64_t request = 0;
    int64_t requests = 0;
    int64_t tokens = 0;
    bool is_end = false;
    bool is_sure = true;      // that it is counted by whoever knows it
    MonotonicTime lease_end;  // of an admission
  };
  struct Range {
    MonotonicTime least, most;
  };
  // When a process would admit a request, by the least and the most that it may count.
  struct Expected {
    Range ready;
    int64_t least_running = 0, most_running = 0;
    bool must_wait_for_permit = false, may_wait_for_permit = false;
  };

  bool MustKnow(Where where, const Event& event) const;
  // Until when what was taken is paid.
  Range PaidUntil(Where where, int64_t per_minute, int64_t Event::*cost) const;
  Expected Expect(const ratelimitd::LimitSettings& limits, Where where, int64_t tokens,
                  MonotonicTime now) const;
  void CountRunning(Where where, MonotonicTime now, Expected& expected) const;
  void NoteFooting(Where where);
  static std::optional<Finding> JudgeRefusal(const Expected& expected,
                                             const ratelimitd::TargetDecision& decision,
                                             MonotonicTime now);
  std::optional<Finding> JudgeStatus(Where where, const ratelimitd::LimitStatus& left,
                                     MonotonicTime now) const;

  const ratelimitd::LimitSettings client_;
  const ratelimitd::LimitSettings provider_;
  std::vector<Event> events_;
  std::map<int, size_t> alone_since_;  // the first event of each process that is on its own
};

}  // namespace simulation
