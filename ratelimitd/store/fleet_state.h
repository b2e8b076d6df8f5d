// One replica's part in the shared state: what it knows of each document in the store, and how the
// table and the documents follow each other. Decides nothing about providers and does no I/O; the
// caller does, in this order, holding the table's mutex around each step but the I/O:
//
//   reads = Reads     store.Load     Import     ...work on the table...     Changes
//   if there are any:       store.Commit   OnCommitted
//                                      or  OnConflict, and again from Import with what it returned
//                                      or  OnOutage
//   when Load failed:       ...work on the table...    OnOutage
//
// What happens to a replica's knowledge:
//  - Of a document that others have written, the store's version holds; the replica's fresh counts
//    (successes, admissions) are added to it. Those of a commit whose reply was lost are added only
//    while the store has not shown that it took effect.
//  - When a document lacks a write of this replica that the store had confirmed (flushed, or a
//    failover lost it), and after an outage, the replica's facts are merged into it: of two
//    deadlines the later one, of two breakers the one that is open, of two words of an operator the
//    later one. What was set before his reset is no fact any more, on either side.
//  - A document that is missing is written anew from what this replica knows.
//  - The store's clock moved against this process's, or told for the first time: everything that is
//    known keeps its remaining time, and is written again. So does a document that was written by
//    the clock as it was before a step that this process has seen. One from the future of the clock
//    by steps that it has not seen counts from now.
// While the store is away each replica lends probes by its own knowledge: there may then be as many
// in flight as there are replicas, and one more when an attempt is reported to another replica than
// the one that admitted it, since that may have given a probe of its own the same number.
//
// Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "ratelimitd/core/name_map.h"
#include "ratelimitd/core/target_table.h"
#include "ratelimitd/store/shared_state_store.h"
#include "ratelimitd/store/store_clock.h"

namespace ratelimitd {

inline MonotonicTime ToMonotonic(StoreTime time) { return MonotonicTime(time); }

class FleetState {
 public:
  struct Counts {
    uint64_t conflicts = 0;    // decisions that had to be taken again
    uint64_t reasserted = 0;   // documents into which this replica's facts were merged
    uint64_t unreadable = 0;   // fields that were malformed or of another layout
    uint64_t clock_steps = 0;  // documents whose moments were moved
  };

  // `replica_id` distinguishes this process from every other one: draw it by chance.
  explicit FleetState(uint64_t replica_id) : replica_id_(replica_id) {}

  std::vector<DocumentRead> Reads(const TargetTable& table,
                                  std::span<const DocumentKey> keys) const;
  // `keys` are those of the reads, or of the writes that met a conflict. `estimate` is what the
  // table takes the time of the reading for: differs from it when the store's clock was moved.
  void Import(TargetTable& table, std::span<const DocumentKey> keys, const LoadResult& loaded,
              MonotonicTime estimate);
  // What must be written before anybody is answered. Ends a run of work on the table: when nothing
  // is to be written the run is over.
  std::vector<DocumentWrite> Changes(TargetTable& table, MonotonicTime now);
  // Counts that nobody else knows yet and that may be written now; as Changes.
  std::vector<DocumentWrite> FreshCounts(TargetTable& table, MonotonicTime now);

  void OnCommitted(TargetTable& table);
  // The work done since Import never happened.
  void OnConflict(TargetTable& table, MonotonicTime now);
  // Nobody knows whether the fresh counts were written; they stay fresh.
  void OnUnconfirmed(TargetTable& table, MonotonicTime now);
  // Load or Commit failed. The work done stays in this replica's table, to be asserted later.
  void OnOutage(TargetTable& table);

  // Documents about which this replica knows more than the store; at most `most`.
  std::vector<DocumentKey> DocumentsAhead(size_t most) const;
  bool IsAhead() const { return !ahead_.empty(); }
  // Forgets documents that the table has forgotten.
  void Prune(const TargetTable& table);

  const Counts& counts() const { return counts_; }

 private:
  struct Field {
    std::string bytes;  // as the store has it
    uint64_t decisive_hash = 0;
    MonotonicTime latest;
  };
  // A replica that wrote the document, by its last write.
  struct Writer {
    uint64_t replica_id = 0;
    uint64_t number = 0;
  };
  struct Facts {
    std::vector<KeyRecord> records;
    MonotonicTime at;
    Order order = 0;
  };
  // A commit without a reply: it may have taken effect, or may still.
  struct Unconfirmed {
    uint64_t number = 0;
    std::vector<std::pair<FieldName, FailureWindow::Fresh>> fresh;
  };
  struct Document {
    std::string version;  // empty: missing, as far as is known
    NameMap<Field> fields;
    std::vector<Writer> writers;           // the latest writer last
    uint64_t own_number = 0;               // this replica's last confirmed write
    std::vector<Unconfirmed> unconfirmed;  // its writes after that, the latest last
    std::chrono::microseconds shift{0};    // of the moments in `fields`
    bool must_rewrite = false;
    Facts facts;                  // to be merged into what is read, until a write is confirmed
    bool is_rolled_back = false;  // the table has lost the facts
  };
  struct Pending {
    DocumentWrite write;
    std::vector<std::pair<std::string, Field>> fields;
    uint64_t number = 0;
    std::vector<std::pair<FieldName, FailureWindow::Fresh>> fresh;
  };

  void OnClockStep(TargetTable& table, std::chrono::microseconds step, MonotonicTime now);
  void Read(TargetTable& table, const DocumentKey& key, const LoadedDocument& loaded,
            MonotonicTime now);
  void OnMissing(TargetTable& table, const DocumentKey& key, Document& document, MonotonicTime now);
  void ReadFields(TargetTable& table, const DocumentKey& key, const LoadedDocument& loaded,
                  Document& document, MonotonicTime now);
  void ReadMeta(Document& document, std::string_view bytes);
  // The number of this replica's last write that a document shows; 0: of none.
  uint64_t OwnNumber(const Document& document) const;
  void KeepUnconfirmed();
  void ConfirmShown(TargetTable& table, Document& document);
  static void KeepFacts(TargetTable& table, const DocumentKey& key, Document& document,
                        MonotonicTime now);
  void NoteFresh(const TargetTable& table, const FieldName& name);
  void MergeFacts(TargetTable& table, Document& document, MonotonicTime now);
  bool IsDecisive(const TargetTable& table, const Document& document, const FieldName& name) const;
  void AddWrite(const TargetTable& table, const DocumentKey& key,
                const std::set<std::string>& fields, MonotonicTime now);
  std::vector<DocumentWrite> Writes() const;
  void RollBackRun(TargetTable& table, MonotonicTime now);
  void RollBack(TargetTable& table, const FieldName& name, MonotonicTime now);

  uint64_t replica_id_;
  uint64_t last_number_ = 0;
  absl::flat_hash_map<DocumentKey, Document> documents_;
  std::set<DocumentKey> ahead_;
  // Fields with fresh counts, as they were after the last run.
  std::map<FieldName, FailureWindow::Fresh> fresh_;
  std::set<DocumentKey> imported_;  // in the run under way
  std::vector<FieldName> touched_;  // likewise
  std::vector<Pending> pending_;
  StoreClock clock_;
  Counts counts_;
};

}  // namespace ratelimitd
