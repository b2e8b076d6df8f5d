// The figures of ratelimitd for Prometheus. Every series exists from the start, so that rates are
// right from the first event; label sets are closed, but for providers, whose number is bounded.
// Thread-safe; an update is one atomic addition.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <array>
#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/clock.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

// What one message amounted to; tallied first so that a series is touched once per message.
struct AdmissionTally {
  std::array<int, kRefusalReasons> refused{};  // asks, by the reason of the first target
  // Admitted by an operator's word, by the reason why they would else have been refused.
  std::array<int, kRefusalReasons> overruled{};
  int admitted = 0;
  int probes = 0;
  int retries_granted = 0;
  int retries_refused = 0;  // by the retry budget
  std::array<std::array<int, kAckStatuses>, kOutcomeKinds> reports{};
};

// How a replica gets along with the shared store; counts only rise.
struct FleetStatus {
  bool is_degraded = false;
  uint64_t conflicts = 0;
  uint64_t reasserted = 0;
  uint64_t unreadable = 0;
};

class Metrics {
 public:
  Metrics();

  void ShowFleet(const FleetStatus& status);

  void Count(const AdmissionTally& tally);
  // Mean time of a decision within one message.
  void ObserveDecision(double seconds) { decision_seconds_->Observe(seconds); }
  void CountCommit(const absl::Status& status, size_t records);
  void CountSetAside() { files_set_aside_->Increment(); }
  void CountReload(const absl::Status& status);
  void CountCertificateReload(const absl::Status& status);
  // Of the certificates in use the one that ends first.
  void ShowCertificateEnd(common::WallTime end);
  bool IsStoreAway() const { return store_degraded_->Value() != 0; }
  bool IsStoreFailing() const { return is_store_failing_; }
  prometheus::Gauge& sessions() { return *sessions_; }
  prometheus::Gauge& watchers() { return *watchers_; }

  // The text exposition, with `stats` in it. Of the providers at most kMaxProviders are shown:
  // those that were there first.
  static constexpr size_t kMaxProviders = 256;
  std::string Render(const TableStats& stats);

 private:
  void AddAdmissionSeries();
  void AddStoreSeries();
  void AddReloadSeries();
  void AddTableSeries();
  void ShowProviders(const std::vector<ProviderState>& states);

  prometheus::Registry registry_;
  prometheus::Counter* admitted_ = nullptr;
  prometheus::Counter* probes_ = nullptr;
  prometheus::Counter* retries_granted_ = nullptr;
  prometheus::Counter* retries_refused_ = nullptr;
  std::array<prometheus::Counter*, kRefusalReasons> refused_{};
  std::array<prometheus::Counter*, kRefusalReasons> overruled_{};
  std::array<std::array<prometheus::Counter*, kAckStatuses>, kOutcomeKinds> reports_{};
  prometheus::Histogram* decision_seconds_ = nullptr;
  prometheus::Counter* commits_ok_ = nullptr;
  prometheus::Counter* commits_failed_ = nullptr;
  prometheus::Counter* records_written_ = nullptr;
  prometheus::Counter* files_set_aside_ = nullptr;
  prometheus::Gauge* store_degraded_ = nullptr;
  std::atomic<bool> is_store_failing_ = false;  // at the last commit
  prometheus::Counter* store_conflicts_ = nullptr;
  prometheus::Counter* store_reasserted_ = nullptr;
  prometheus::Counter* store_unreadable_ = nullptr;
  prometheus::Counter* reloads_ok_ = nullptr;
  prometheus::Counter* reloads_failed_ = nullptr;
  prometheus::Counter* certificates_ok_ = nullptr;
  prometheus::Counter* certificates_refused_ = nullptr;
  prometheus::Gauge* certificate_end_ = nullptr;
  prometheus::Gauge* sessions_ = nullptr;
  prometheus::Gauge* watchers_ = nullptr;
  std::array<prometheus::Gauge*, kHealthStates> targets_{};
  std::array<prometheus::Gauge*, kOverrideModes> overrides_{};
  prometheus::Gauge* reporters_ = nullptr;
  prometheus::Counter* evicted_ = nullptr;
  prometheus::Counter* not_remembered_ = nullptr;
  prometheus::Family<prometheus::Gauge>* provider_family_ = nullptr;
  std::mutex mutex_;
  // By name, then by state.
  absl::flat_hash_map<std::string, std::array<prometheus::Gauge*, kHealthStates>>
      providers_;  // guarded by mutex_
};

}  // namespace ratelimitd
