// What must hold for the breaker of one key, judged from outside. ratelimitd tells the phase, as it
// does to people; who may cause which change of it is known here, from the contract and not from
// the code. Each function gets the key as it was just before and just after an event, and returns
// what was wrong about the event. Times are the simulation's.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ratelimitd/core/health.h"
#include "tests/simulation/told.h"

namespace simulation {

// A broken invariant, by its name in the contract.
struct Finding {
  const char* invariant;
  std::string what;
};

// A key as ratelimitd shows it.
struct Look {
  enum class Phase : uint8_t { kServing, kOpen, kHalfOpen, kHidden };

  ratelimitd::HealthState state = ratelimitd::HealthState::kHealthy;
  MonotonicTime until;  // of an opening or a ramp
  int64_t calls = 0;
  int64_t failures = 0;

  Phase phase() const;
  bool IsBlocked() const { return state == ratelimitd::HealthState::kBlocked; }
};

class BreakerWatch {
 public:
  struct Change {
    const Look& before;
    const Look& after;
    MonotonicTime now;
    Turn turn = 0;
    int life = 0;
  };

  // How counts spread over replicas.
  struct Fleet {
    milliseconds news_takes{0};  // until all know of successes and hosts; 0: one that is alone
    // One that has no room for a target without facts forgets its successes and admissions for all,
    // at any time.
    bool may_forget = false;
  };
  BreakerWatch(ratelimitd::Level level, const Fleet& fleet) : level_(level), fleet_(fleet) {}

  // Time alone passed since the last look.
  std::optional<Finding> OnTime(const ratelimitd::BreakerSettings& settings, const Change& change);
  // A report that was not handled before. `quorum`: hosts that must agree now, at least and at
  // most.
  struct Quorum {
    int least = 1;
    int most = 1;
  };
  std::optional<Finding> OnReport(const ratelimitd::BreakerSettings& settings, const Told& told,
                                  Quorum quorum, const Change& change);
  // An admission of this key; a probe's lease runs until `lease_end`.
  std::optional<Finding> OnGrant(const ratelimitd::BreakerSettings& settings,
                                 const std::shared_ptr<const Grant>& grant,
                                 const std::string& reporter, MonotonicTime lease_end,
                                 const Change& change);
  // A gateway's memory of an opening may have opened it, or prolonged it.
  void OnMemory(const Change& change);
  // A changed credential lifted a block; what the breaker did behind it is not known.
  void OnUnblocked(const ratelimitd::BreakerSettings& settings, const Change& change);
  // The key was forgotten and is as new.
  void Forget() { *this = BreakerWatch(level_, fleet_); }
  // A new process has put back `record`, and shows `look`.
  void Restore(const ratelimitd::BreakerSettings& settings,
               const ratelimitd::Breaker::Record& record, const Look& look, MonotonicTime now,
               Turn turn);
  void OnSessionEnded(const std::string& reporter, MonotonicTime lease_end);

  // --- For a fleet: what cannot be judged, and the time after it ---
  void OnUnjudgedReport(const Told& told, MonotonicTime now);
  void OnUnjudgedGrant(MonotonicTime now);
  // Whatever was known is in doubt, but for `look`.
  void LoseTrack(const ratelimitd::BreakerSettings& settings, const Look& look, MonotonicTime now,
                 Turn turn);
  // Admissions from before a step of the shared clock may be forgotten.
  void OnClockStep(MonotonicTime now);
  // A replica did not know the key: what it counts next may be the first that anybody counts.
  void OnUnknown() { is_next_maybe_first_ = true; }
  // A replica died before it had told the others of its last successes.
  void OnCountsLost(MonotonicTime now);

  // Whether refusing for want of a permit, or for the ramp's pace, can be right.
  bool MayBeBusy(const ratelimitd::BreakerSettings& settings, MonotonicTime now) const;
  bool MayBePaced(MonotonicTime now) const;

 private:
  struct Probe {
    std::shared_ptr<const Grant> grant;  // shared with the attempt
    std::string reporter;
    MonotonicTime until;
  };
  struct Call {
    MonotonicTime at;
    bool is_failure = false;
    bool is_sure = false;  // that it was counted
  };
  struct Admission {
    MonotonicTime at;
    bool is_maybe_first = false;  // what was counted before may be forgotten
  };
  struct Row {  // of failures, at least and at most
    int least = 0;
    int most = 0;
  };

  std::optional<Finding> OnReportWhileHalfOpen(const ratelimitd::BreakerSettings& settings,
                                               const Told& told, bool was_probe, Quorum quorum,
                                               const Change& change);
  std::optional<Finding> OnReportWhileServing(const ratelimitd::BreakerSettings& settings,
                                              const Told& told, Quorum quorum,
                                              const Change& change);
  void CountFailure(const ratelimitd::BreakerSettings& settings, const Told& told, Era era,
                    MonotonicTime now);
  // What is reported while a block hides the breaker is counted perhaps.
  void CountBehindBlock(const ratelimitd::BreakerSettings& settings, const Told& told,
                        MonotonicTime now);
  void JoinRamp(const ratelimitd::BreakerSettings& settings, const Look& look, MonotonicTime now);
  void CountAnswer(const Told& told, Era era, MonotonicTime now);
  void CountAdmission(MonotonicTime now);
  bool MayTrip(const ratelimitd::BreakerSettings& settings, MonotonicTime now) const;
  int FailingHosts(Era surely, MonotonicTime since) const;
  std::optional<Finding> OnOpened(const ratelimitd::BreakerSettings& settings,
                                  const Change& change);
  void ForgetCalls();
  void OnClosed(const ratelimitd::BreakerSettings& settings, const Change& change);
  std::optional<Finding> OnRampGrant(const ratelimitd::BreakerSettings& settings, const Look& look,
                                     MonotonicTime now);
  void DropLostProbes(MonotonicTime now);
  bool FreeProbe(const Told& told);
  double RateBefore(MonotonicTime now) const;

  ratelimitd::Level level_;
  Fleet fleet_;
  Mark mark_;  // of the last opening or closing
  Row row_;
  std::deque<Call> calls_;
  std::deque<Admission> admissions_;
  bool is_next_maybe_first_ = false;
  std::map<std::string, MonotonicTime> last_counted_;  // by reporter, surely
  std::map<std::string, MonotonicTime> last_perhaps_counted_;
  std::vector<std::pair<std::string, MonotonicTime>> lumps_;  // by reporter, perhaps
  struct HostFailure {
    MonotonicTime at;
    bool is_sure = false;
  };
  std::map<std::string, HostFailure> failing_hosts_;
  std::vector<Probe> probes_;
  bool has_unknown_probes_ = false;
  bool has_lost_track_ = false;
  MonotonicTime maybe_busy_until_;  // the longest that a lease that was cut may last after all
  int successes_ = 0;
  int lost_in_a_row_ = 0;
  double rate_before_ = 0;  // at most
  MonotonicTime ramp_until_;
  double ramp_done_at_start_ = 0;  // seconds of the ramp that were over when it was first seen
  int ramp_grants_ = 0;
  MonotonicTime last_ramp_grant_;
};

}  // namespace simulation
