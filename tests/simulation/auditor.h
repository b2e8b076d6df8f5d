// Stands beside ratelimitd, sees every message it handles and every answer it gives, and judges
// them by the invariants I1 to I12 of the contract. It knows nothing of how ratelimitd decides:
// only what gateways did, when, and in which order. The first broken invariant is kept. Not
// thread-safe.
//
//   I1   probes in flight <= permits          I7   broken egress of one opens nothing for others
//   I2   nobody is admitted before a deadline I8   failures needed to trip: no fewer, no more
//   I3   every key becomes askable again      I9   after healing all agree with the first ask
//   I4   replayed reports change nothing      I10  a restart keeps deadlines, and no longer
//   I5   deadlines and phases need a reason   I11  memory is bounded, real blocks are kept
//   I6   retry_after is true, and spread      I12  recovery follows the ramp
//
// an operator's words by O1 to O3 of ruling_watch, and limits by L1 to L3 of limit_watch.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/simulation/backoff_bounds.h"
#include "tests/simulation/block_bounds.h"
#include "tests/simulation/breaker_watch.h"
#include "tests/simulation/event_queue.h"
#include "tests/simulation/limit_watch.h"
#include "tests/simulation/live_hosts.h"
#include "tests/simulation/ruling_watch.h"
#include "tests/simulation/scenario.h"
#include "tests/simulation/trace.h"
#include "tests/simulation/witness.h"

namespace simulation {

using ratelimitd::AckStatus;
using ratelimitd::Verdict;

// What a restarted ratelimitd found in its store about one key.
struct Survivor {
  common::Target key;
  ratelimitd::HealthRecord record;
  MonotonicTime stored_at;
  nanoseconds clock_error{0};  // of the wall clock, from storing to reading; positive: it ran ahead
};

struct AskFacts {
  std::string reporter;
  uint64_t correlation_id = 0;
  std::vector<common::Target> targets;
  MonotonicTime lease_end;  // of a probe, if one is lent
};

struct HelloFacts {
  std::string reporter;
  std::string host;
  struct Memory {
    common::Target target;
    ratelimitd::RefusalReason reason = ratelimitd::RefusalReason::kNone;
    milliseconds remaining{0};
  };
  std::vector<Memory> memories;
  std::vector<std::string>
      changed_credentials;  // providers whose credential ratelimitd takes for new
};

class Auditor {
 public:
  // All must outlive it.
  Auditor(const Scenario& scenario, EventQueue& events, Trace& trace);

  // From the gateways. A report's facts, before it is sent.
  void OnReportWritten(uint64_t sequence_number, Told told);
  // The grant that answered an ask; null: it was refused.
  std::shared_ptr<const Grant> GrantOf(const std::string& reporter, uint64_t correlation_id) const;

  // From ratelimitd. A new process; `witness` must outlive it. Whoever was in memory is gone.
  // `is_whole`: the store has lost nothing that was durable.
  enum class Store : uint8_t { kWhole, kLost };
  void OnLifeBegan(Witness& witness, Store store, const std::vector<Survivor>& survivors);
  void OnLifeEnded();

  // Each runs `handle`, which is the message's effect on ratelimitd, and judges it.
  // `age`: as the message says it.
  AckStatus OnReport(const std::string& reporter, uint64_t sequence_number, milliseconds age,
                     const std::function<AckStatus()>& handle);
  void OnAsk(const AskFacts& ask, const std::function<const Verdict&()>& handle);
  void OnPeek(const AskFacts& ask, const std::function<const Verdict&()>& handle);
  // Somebody asked and reported about targets that are nobody's.
  void OnStranger(int process, const std::string& reporter) {
    hosts_.OnWord({process, reporter}, events_.now());
  }
  void OnHello(const HelloFacts& hello, const std::function<void()>& handle);
  void OnSessionEnded(const std::string& reporter, const std::function<void()>& handle);
  // Every report of this life once more.
  void OnReplay(const std::function<bool()>& handle);
  void OnAckSent(const std::string& reporter, uint64_t sequence_number);

  // Everything is whole and has been for long: all gateways ask for everything.
  void ExpectAdmitted(const std::string& reporter, const common::Target& target,
                      const Verdict& verdict);
  void CheckMemory();

  // What an operator does and sees at one process.
  void OnOverride(Where where, ratelimitd::OverrideMode mode, milliseconds length);
  void OnReset(Where where, RulingWatch::Reach reach);
  void OnLimit(Where where, const std::string& reporter, AckStatus ack, RulingWatch::Fact fact,
               milliseconds figure);
  void OnAnswer(Where where, const ratelimitd::TargetDecision& decision);

  // What a client with limits asks and reports at one process.
  void OnClientsAnswer(Where where, const std::string& reporter, const LimitWatch::Ask& ask,
                       const Verdict& verdict);
  void OnClientsReport(Where where, const std::string& reporter, uint64_t request,
                       int64_t more_tokens);

  // --- For a fleet (auditor_fleet.cc) ---
  // The fleet has one life, and every process of it a number. What happens between BeginHearing and
  // EndHearing was seen by `witness` at this process; at other times `fleet` may be asked.
  void OnFleetBegan(Witness& fleet);
  // What a decision knew of what others had done: of each provider everything until it was read,
  // and of those that it changed everything until now.
  struct Knowledge {
    std::map<std::string, Turn> read_at;
    std::set<std::string> up_to_date;
  };
  void BeginHearing(Witness& witness, int process, Footing footing, Knowledge knowledge);
  void EndHearing();
  void OnGreeted(int process, const std::string& reporter, const std::string& host);
  // Whether it was the reporter's last session there.
  bool OnFarewell(int process, const std::string& reporter);
  // What a report is about.
  const common::Target& TargetOf(const std::string& reporter, uint64_t sequence_number) const {
    return written_.at({reporter, sequence_number}).told.target;
  }
  // A report reached a process for which it named no target.
  void OnUnheard(const std::string& reporter, uint64_t sequence_number);
  void OnProcessBegan(int process);
  void OnProcessEnded(int process);
  // A process decides by what the store says.
  void OnShared(int process) { limits_.OnShared(process); }
  // A replica decides by what it knew last, or the store may have lost something: until EndDoubt
  // each process is judged by itself alone.
  enum class Loss : uint8_t { kNothing, kLastSecond, kEverything, kClock };
  void BeginDoubt(Loss loss);
  // All living processes have told each other what they know.
  void EndDoubt();
  bool IsInDoubt() const { return is_in_doubt_; }

  const std::optional<Finding>& finding() const { return finding_; }
  Turn turn() const { return turn_; }
  int life() const { return life_; }

 private:
  // How long news may take to all replicas of a fleet: a refresh may fail, or have just been done.
  static constexpr milliseconds kNewsTakes = std::chrono::seconds(3);

  struct Key {
    Key(ratelimitd::Level level, const BreakerWatch::Fleet& fleet) : breaker(level, fleet) {}
    BackoffBounds backoff;
    BlockBounds block;
    BreakerWatch breaker;
    Look last;
    std::optional<std::pair<std::shared_ptr<const Grant>, std::string>> block_probe;
    MonotonicTime block_probe_until;
    MonotonicTime unknown_block_probe_until;  // after a doubt one may be out
    Turn news = 0;                            // the last turn that taught something about it
    std::map<int, Turn> news_by;              // likewise, by the process that learned it
    MonotonicTime acknowledged_backoff, acknowledged_opening;
    // Where refused callers were sent by one deadline.
    MonotonicTime spread_deadline, first_return, last_return;
    int returns = 0;
    // Of the backoff's floor: who handled it, and since when the store has it; never: not surely.
    int floor_owner = 0;
    std::optional<MonotonicTime> floor_stored_at;

    bool IsRecovering() const {
      return last.phase() == Look::Phase::kHalfOpen ||
             last.state == ratelimitd::HealthState::kRamping;
    }
  };
  struct Written {
    Told told;
    MonotonicTime promised_backoff{};
    MonotonicTime promised_opening{};
    std::set<int> handled_by{};  // processes
    Turn handled_first = 0;
    int provider_reports = 0;  // of its provider, when it was handled first
  };
  // What one process knows of one key in a time of doubt.
  struct Own {
    MonotonicTime floor;
    MonotonicTime opening_until;
    struct Probe {
      std::shared_ptr<const Grant> grant;
      std::string reporter;
      MonotonicTime until;
    };
    std::vector<Probe> probes;
  };
  using ReportName = std::pair<std::string, uint64_t>;

  void Judge(const std::optional<Finding>& finding, const common::Target& key);
  void Fail(const char* invariant, std::string what);
  Key* Find(const common::Target& key);
  static common::Target ProviderOf(const common::Target& target) { return {target.provider, ""}; }
  // The key as it is now, after judging what time did to it.
  Look Catch(const common::Target& key);
  std::optional<Look> LookAgain(const common::Target& key, Key& known);
  BreakerWatch::Change ChangeFrom(const Look& before, const Look& after) const;
  const ratelimitd::HealthSettings& Settings(const common::Target& key) const;

  LiveHosts::Name Here(const std::string& reporter) const { return {process_, reporter}; }
  BreakerWatch::Quorum QuorumFor(const ratelimitd::BreakerSettings& settings) const;
  bool MayCountAgain(const Written& written) const;
  void CutProbesInDoubt(const std::string& reporter);
  void JudgeReportInDoubt(const common::Target& key, const Told& told, AckStatus ack);
  void JudgeGrantInDoubt(const AskFacts& ask, const common::Target& key,
                         const std::shared_ptr<const Grant>& grant);
  void NoteOpening(const common::Target& key, const Look& before, const Look& after);
  void NoteFloor(Key& key, MonotonicTime floor_before);
  void NoteNews(Key& key);
  // Whether others changed a target or its provider between a decision about it, which itself
  // changed nothing, and its judgement: it belongs before what they did.
  bool IsOvertaken(const common::Target& target);
  void JudgeOvertakenReport(const common::Target& key, const Told& told);
  void JudgeOvertakenGrant(const common::Target& key);

  void JudgeFreshReport(const common::Target& key, Written& written, AckStatus ack,
                        const Look& before, BreakerWatch::Quorum quorum);
  void JudgeBlock(const common::Target& key, Key& known, const Told& told, const Look& before,
                  const Look& after);
  void JudgeShape(const AskFacts& ask, const Verdict& verdict, const Verdict& peek);
  void JudgeGrant(const AskFacts& ask, const common::Target& target, const Look& target_before,
                  const Look& provider_before, const std::shared_ptr<const Grant>& grant);
  void JudgeAdmission(const AskFacts& ask, const common::Target& key, const Look& before,
                      const std::shared_ptr<const Grant>& grant);
  void JudgeRefusal(const common::Target& target, const ratelimitd::TargetDecision& decision,
                    const Look& of_target, const Look& of_provider);
  void NoteSpread(const common::Target& target, const ratelimitd::TargetDecision& decision,
                  const Look& of_target, const Look& of_provider);
  void ComeBackAsTold(const AskFacts& ask, const Verdict& verdict);
  Turn NewsOf(const std::vector<common::Target>& targets);
  void JudgeSurvivor(const common::Target& key, Key& known, Store store, const Survivor* survivor);

  const Scenario& scenario_;
  EventQueue& events_;
  Trace& trace_;
  Witness* witness_ = nullptr;  // null: ratelimitd is down
  std::map<common::Target, std::unique_ptr<Key>> keys_;
  std::map<common::Target, int> numbers_;  // for the trace
  std::map<ReportName, Written> written_;
  std::set<ReportName> handled_;                               // in this life
  std::map<ReportName, std::shared_ptr<const Grant>> grants_;  // by correlation id
  LiveHosts hosts_;
  RulingWatch rulings_;
  LimitWatch limits_;
  bool is_fleet_ = false;
  Witness* fleet_ = nullptr;
  int process_ = 0;      // that is heard
  Knowledge knowledge_;  // of the decision that is heard
  bool is_alone_ = false;
  std::set<int> processes_;
  std::map<std::string, int> provider_reports_;  // that every replica remembers
  std::map<std::pair<int, common::Target>, Own> own_;
  bool is_in_doubt_ = false;
  Turn doubted_until_ = 0;  // what was admitted before came in an order that is not known
  Turn turn_ = 0;
  int life_ = 0;
  int waiting_returns_ = 0;
  std::optional<Finding> finding_;
};

}  // namespace simulation
