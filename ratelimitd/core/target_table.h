// All that is known about providers and targets, bounded: the answers to "may this be asked now?"
// and the place where reports become facts. Pure: `now` and chance are arguments.
//
// Memory: at most `max_targets` targets and as many providers. A target that nobody has heard of
// takes less than 3 KiB together with a provider of its own, one with a whole history of
// transitions less than 12 KiB with names of ordinary length; tests/bench/table_memory holds that.
// Those with facts in force never make room for others.
//
// Not thread-safe: the owner holds one mutex around it. No call blocks or does I/O; a decision
// costs about a microsecond.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "ratelimitd/core/admission_token.h"
#include "ratelimitd/core/attempt.h"
#include "ratelimitd/core/client_limits.h"
#include "ratelimitd/core/health.h"
#include "ratelimitd/core/health_view.h"
#include "ratelimitd/core/name_map.h"
#include "ratelimitd/core/reporters.h"
#include "ratelimitd/core/retry_budget.h"
#include "ratelimitd/core/settings.h"
#include "ratelimitd/core/state_archive.h"
#include "ratelimitd/core/state_document.h"

namespace ratelimitd {

// A consequence to keep: what is known about one key now. An empty record deletes the key.
struct KeyRecord {
  std::string provider;
  std::string model;  // empty: the provider itself
  HealthRecord health;
};

// What an operator wants. An empty model is the whole provider.
struct OverrideOrder {
  TargetName name{};
  OverrideMode mode = OverrideMode::kNone;  // kNone ends the one in force
  milliseconds length{0};
  Cause cause{};
  bool may_be_unknown = false;  // makes a key that nobody has heard of
};

struct ResetOrder {
  TargetName name{};
  Cause cause{};
};

struct KnownRefusal {
  TargetName target;
  RefusalReason reason = RefusalReason::kNone;
  milliseconds remaining{0};
};

class TargetTable {
 public:
  // `life` distinguishes this process's tokens from those of earlier ones: draw it by chance.
  TargetTable(TableSettings settings, uint32_t life);
  ~TargetTable();
  TargetTable(const TargetTable&) = delete;
  TargetTable& operator=(const TargetTable&) = delete;

  // Answers an ask; `verdict` is overwritten, its memory reused.
  void Admit(const Ask& ask, const Moment& moment, Verdict& verdict);

  // Applies a report. Its durable consequences, if any, wait in TakeConsequences.
  AckStatus Report(const AttemptReport& report, const Moment& moment);

  // False: too many reporters with sessions.
  bool BeginSession(std::string_view reporter, std::string_view host, MonotonicTime now);
  // Probes of a reporter without sessions are given up one lease from now.
  void EndSession(std::string_view reporter, MonotonicTime now);
  // A gateway's memory, merged by maximum; only where this process has not learned better.
  void Relearn(std::string_view reporter, const KnownRefusal& refusal, const Moment& moment);
  // A gateway uses this credential now; one that differs from the known one lifts AUTH_FAILED.
  void LearnCredential(std::string_view provider, std::string_view fingerprint,
                       const Moment& moment);

  // The limits under which asks in the name of `client` stand from now on.
  void LearnClientLimits(std::string_view client, const LimitSettings& limits, MonotonicTime now);

  // Records of the keys that changed since the last call; cheap when there are none.
  std::vector<KeyRecord> TakeConsequences(MonotonicTime now);
  // Puts back a record that is `age` old: deadlines keep their remaining time, never more.
  void Restore(const KeyRecord& record, milliseconds age, MonotonicTime now);

  // New settings for all keys; facts stay.
  void Configure(TableSettings settings);

  // --- For operators (target_table_operator.cc) ---
  // Both begin a new generation: what was admitted before teaches nothing any more. False: nobody
  // has heard of the key, or the table is full of facts.
  bool Override(const OverrideOrder& order, const Moment& moment);
  // Forgets what was learned about a target, or a provider and all its targets. An override stays.
  bool Reset(const ResetOrder& order, const Moment& moment);

  // --- For replicas that share their state (target_table_documents.cc) ---
  // Once, before anything else: tokens then mean the same to every replica, and a report counts as
  // seen only from ConfirmReport on. `first_lease_id` tells this replica's leases from the others'.
  void BeginSharing(uint64_t first_lease_id);
  // What was reported since the last call and is not confirmed did not happen.
  void BeginRun() { seen_in_run_.clear(); }
  // The documents that a report or an ask concerns.
  void CollectDocuments(const AttemptReport& report, std::vector<DocumentKey>& keys) const;
  void CollectDocuments(const Ask& ask, std::vector<DocumentKey>& keys) const;
  // Those in which the reporter holds a lease.
  std::vector<DocumentKey> DocumentsWithLeases(uint64_t reporter_id) const;
  // All of them.
  std::vector<DocumentKey> Documents() const;
  void ConfirmReport(std::string_view reporter, uint64_t sequence_number, MonotonicTime now);

  // Fields that may have changed since the last call.
  std::vector<FieldName> TakeTouched();
  // Whether the document has fields.
  bool Knows(const DocumentKey& key) const;
  // Fields of a document.
  std::vector<FieldName> FieldsOf(const DocumentKey& key) const;
  struct FieldState {
    std::string bytes;     // empty: there is nothing to keep
    MonotonicTime latest;  // the latest moment in it
  };
  FieldState WriteField(const FieldName& name, StateScope scope) const;
  // The decisive part of a target or client of which nothing is known.
  static std::string WriteUnknownField(DocumentKind kind);
  // Replaces the field's state but for its fresh counts. No bytes: as if nothing had ever happened.
  // Moments are moved by `shift`. False: malformed; nothing has changed.
  bool ReadField(const FieldName& name, std::string_view bytes, std::chrono::microseconds shift,
                 MonotonicTime now);
  FailureWindow::Fresh FreshOf(const FieldName& name) const;
  void SetFresh(const FieldName& name, const FailureWindow::Fresh& fresh);
  // What is known about a provider and its targets, and the way to merge it into what was read.
  std::vector<KeyRecord> FactsOf(std::string_view provider, MonotonicTime now) const;
  void Reassert(const KeyRecord& record, MonotonicTime now);
  Order OrderOf(std::string_view provider) const;
  void RaiseOrder(std::string_view provider, Order at_least);
  // The clock was moved by `step`; documents are the caller's to move.
  void OnClockStep(std::chrono::microseconds step);

  // A session's end in two parts: whether it was the reporter's last one here (its id, else 0), and
  // what that means to its leases.
  uint64_t EndReporter(std::string_view reporter, MonotonicTime now) {
    return reporters_.EndSession(reporter, now);
  }
  void CutLeases(uint64_t reporter_id, MonotonicTime now);
  std::vector<uint64_t> LiveHosts(MonotonicTime now, size_t most) const {
    return reporters_.LiveHosts(now, most);
  }
  void LearnFleetHosts(std::vector<uint64_t> hosts, MonotonicTime now) {
    reporters_.LearnFleetHosts(std::move(hosts), now);
  }

  // --- For people, dashboards and metrics (target_table_views.cc, target_table_excerpt.cc) ---
  // Every key (providers with their targets, by name). Bounded by the table's size.
  std::vector<HealthView> View(const Moment& moment);
  // Those that changed after `version` of ViewVersion, after taking what time brought.
  std::vector<HealthView> ViewChangedSince(uint64_t version, const Moment& moment);
  // A provider and its targets; none when it is not known.
  std::vector<HealthView> ViewProvider(std::string_view name, const Moment& moment);
  std::optional<HealthView> ViewOne(const TargetName& name, const Moment& moment);
  // The `most` targets in the most serious states, by name where they are equal, whose
  // "provider/model" contains `filter`; ASCII letters match in either case.
  TableExcerpt Excerpt(std::string_view filter, size_t most, const Moment& moment);
  // No: the provider is open or blocked, or every target of it is. Nothing: it is not known.
  std::optional<Askable> IsAskable(std::string_view provider, const Moment& moment);
  // Rises with every visible change.
  uint64_t view_version() const { return view_version_; }

  TableStats Stats(const Moment& moment);
  // How many more targets, or providers, it holds without forgetting any.
  size_t Room() const;

 private:
  struct Provider;
  struct Entry;
  struct Found {
    Provider* provider = nullptr;  // null: not remembered
    Entry* target = nullptr;
  };
  struct Grantee {
    Provider* provider = nullptr;  // null: not remembered
    const HealthSettings& settings;
    uint64_t reporter_id = 0;
  };
  struct Resolved {
    Found found;
    Evidence evidence;
    AdmissionToken token;  // its limits are to be settled
  };

  Provider* FindProvider(std::string_view name) const;
  Found Find(const TargetName& name) const;
  Found FindOrMake(const TargetName& name, MonotonicTime now);
  Provider* MakeProvider(std::string_view name, MonotonicTime now);
  bool MakeRoom(MonotonicTime now);
  bool MakeRoomForProvider(MonotonicTime now);
  bool IsIdle(const Provider& provider, MonotonicTime now) const;
  void ForgetOldest(MonotonicTime now);
  void Forget(Entry& entry, MonotonicTime now);
  void MakeConfiguredProviders();

  void Advance(Provider& provider, const Moment& moment);
  void Advance(Entry& entry, const Moment& moment);
  Breaker::View Look(const Ask& ask, const Found& found, MonotonicTime now,
                     Breaker::Resort resort) const;
  static const OperatorOverride* RulingOn(const Found& found);
  static void CountOverruled(const Found& found);
  static std::optional<OverrideView> RulingOf(const Health& health, MonotonicTime now);
  void Decide(const Ask& ask, const Moment& moment, Verdict& verdict);
  bool RefuseByClientLimit(const Ask& ask, const Moment& moment, Verdict& verdict);
  void TakeFromLimits(const Ask& ask, const Grantee& grantee, MonotonicTime now,
                      AdmissionToken& token);
  void SettleLimits(const AttemptReport& report, const AdmissionToken& token, Provider* provider,
                    MonotonicTime now);
  // What the retry budget says of an ask, for every target of it.
  Breaker::View LookAtRetryBudget(const Ask& ask, MonotonicTime now) const;
  // `of_all` holds for every target.
  bool GrantFirst(const Ask& ask, const Moment& moment, Breaker::Resort resort,
                  const Breaker::View& of_all, Verdict& verdict);
  void Grant(const Ask& ask, size_t index, const Found& found, Decision decision,
             const Moment& moment, Verdict& verdict);
  void Commit(const Ask& ask, const Found& found, const Grantee& grantee, Decision decision,
              const Moment& moment, AdmissionToken& token, Verdict& verdict);
  Resolved Resolve(const AttemptReport& report, const Reporter* reporter, const Moment& moment);
  void FindByToken(const AttemptReport& report, MonotonicTime now, Resolved& resolved);
  bool IsOurs(const AdmissionToken& token, const AttemptReport& report, Found& found);
  AckStatus Apply(Resolved& resolved, const AttemptReport& report, const Moment& moment);
  int QuorumFor(const AttemptReport& report, const Provider& provider, MonotonicTime now) const;
  bool IsRepeated(Reporter& reporter, uint64_t sequence_number);
  bool WasSeenByAnyReplica(const Resolved& resolved, const AttemptReport& report) const;
  void Touch(Provider& provider);
  void Touch(Entry& entry);
  bool ReadProvider(Provider& provider, std::string_view bytes, std::chrono::microseconds shift,
                    MonotonicTime now);
  bool ReadTarget(const FieldName& name, std::string_view bytes, std::chrono::microseconds shift,
                  MonotonicTime now);
  static bool ReadClient(Limits& limits, std::string_view bytes, std::chrono::microseconds shift);
  const Entry* FindEntry(const FieldName& name) const;
  void ForgetBeforeReset(Provider& provider, MonotonicTime now);
  void MarkChanged(Provider& provider, Entry* target);
  template <typename Key>
  void NoteVersion(Key& key);
  struct Ranked {
    HealthState state = HealthState::kHealthy;
    const Provider* provider = nullptr;
    const Entry* target = nullptr;  // null: the provider has none
    bool operator<(const Ranked& other) const;
  };
  std::vector<Ranked> Rank(std::string_view filter, const Moment& moment, TableExcerpt& excerpt);
  static std::optional<LimitView> LimitsOf(const Provider& provider, MonotonicTime now);
  HealthView MakeView(const Provider& provider, const Entry* target, MonotonicTime now) const;

  TableSettings settings_;
  uint32_t life_;
  uint64_t last_id_ = 0;
  uint64_t view_version_ = 1;
  uint64_t evicted_ = 0;
  uint64_t not_remembered_ = 0;
  Reporters reporters_;
  NameMap<std::unique_ptr<Provider>> providers_;
  absl::flat_hash_map<uint64_t, Entry*> targets_by_id_;
  absl::flat_hash_map<uint64_t, Provider*> providers_by_id_;
  ClientLimits clients_;
  RetryBudget retry_budget_;
  std::list<Entry*> by_use_;  // least recently asked first
  // What TakeConsequences will tell: names, since a key may be forgotten before.
  absl::flat_hash_set<std::pair<std::string, std::string>> changed_;
  MonotonicTime next_sweep_;
  bool is_shared_ = false;
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> seen_in_run_;  // reports by reporter
  struct Touched {
    std::vector<Provider*> providers;
    std::vector<Entry*> targets;
  };
  Touched touched_;
};

}  // namespace ratelimitd
