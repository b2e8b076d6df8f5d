#include "ratelimitd/io/metrics.h"

#include <prometheus/text_serializer.h>

#include "absl/container/flat_hash_set.h"

namespace ratelimitd {
namespace {

prometheus::Family<prometheus::Counter>& CounterFamily(prometheus::Registry& registry,
                                                       const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}

prometheus::Gauge& AddGauge(prometheus::Registry& registry, const char* name, const char* help,
                            const prometheus::Labels& labels = {}) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add(labels);
}

// Gauges sampled from counts that only rise become counters.
void RaiseTo(prometheus::Counter& counter, uint64_t value) {
  const double missing = static_cast<double>(value) - counter.Value();
  if (missing > 0) counter.Increment(missing);
}

}  // namespace

Metrics::Metrics() {
  AddAdmissionSeries();
  AddStoreSeries();
  AddReloadSeries();
  AddTableSeries();
  AddGauge(registry_, "candor_ratelimitd_build_info", "Always 1; the label tells the version.",
           {{"version", CANDOR_VERSION}})
      .Set(1);
}

void Metrics::AddAdmissionSeries() {
  auto& asks = CounterFamily(registry_, "candor_ratelimitd_asks_total",
                             "Answered asks. reason is the first target's, for refused ones.");
  admitted_ = &asks.Add({{"decision", "admit"}, {"reason", "none"}});
  probes_ = &asks.Add({{"decision", "admit_probe"}, {"reason", "none"}});
  for (int i = 1; i < kRefusalReasons; ++i) {
    const std::string reason(ReasonName(static_cast<RefusalReason>(i)));
    refused_[i] = &asks.Add({{"decision", "refuse"}, {"reason", reason}});
  }
  auto& overruled =
      CounterFamily(registry_, "candor_ratelimitd_overruled_asks_total",
                    "Asks admitted by an operator's word, by the reason to refuse them.");
  for (int i = 1; i < kRefusalReasons; ++i) {
    const std::string reason(ReasonName(static_cast<RefusalReason>(i)));
    overruled_[i] = &overruled.Add({{"reason", reason}});
  }
  auto& retries = CounterFamily(registry_, "candor_ratelimitd_retries_total",
                                "Further attempts asked for, by what the retry budget said.");
  retries_granted_ = &retries.Add({{"result", "granted"}});
  retries_refused_ = &retries.Add({{"result", "refused"}});
  auto& reports = CounterFamily(registry_, "candor_ratelimitd_reports_total",
                                "Reports of attempts, by effect.");
  for (int kind = 1; kind < kOutcomeKinds; ++kind) {
    for (int ack = 1; ack < kAckStatuses; ++ack) {
      reports_[kind][ack] =
          &reports.Add({{"kind", std::string(OutcomeName(static_cast<OutcomeKind>(kind)))},
                        {"ack", std::string(AckName(static_cast<AckStatus>(ack)))}});
    }
  }
  decision_seconds_ = &prometheus::BuildHistogram()
                           .Name("candor_ratelimitd_decision_duration_seconds")
                           .Help("Mean time of a decision within one message, without the network.")
                           .Register(registry_)
                           .Add({}, prometheus::Histogram::BucketBoundaries{
                                        1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 1e-3, 1e-2});
  sessions_ = &AddGauge(registry_, "candor_ratelimitd_sessions", "Open sessions of gateways.");
  watchers_ = &AddGauge(registry_, "candor_ratelimitd_watchers", "Open WatchProviders streams.");
}

void Metrics::AddStoreSeries() {
  auto& commits = CounterFamily(registry_, "candor_ratelimitd_store_commits_total",
                                "Commits of the store; a failed one is tried again.");
  commits_ok_ = &commits.Add({{"result", "ok"}});
  commits_failed_ = &commits.Add({{"result", "failed"}});
  records_written_ = &CounterFamily(registry_, "candor_ratelimitd_store_records_written_total",
                                    "Records that became durable.")
                          .Add({});
  files_set_aside_ = &CounterFamily(registry_, "candor_ratelimitd_store_files_set_aside_total",
                                    "Damaged store files renamed at start.")
                          .Add({});
  store_degraded_ = &AddGauge(registry_, "candor_ratelimitd_store_degraded",
                              "1 while a shared store is away and the last known state answers.");
  store_conflicts_ = &CounterFamily(registry_, "candor_ratelimitd_store_conflicts_total",
                                    "Decisions taken again because another replica was first.")
                          .Add({});
  store_reasserted_ = &CounterFamily(registry_, "candor_ratelimitd_store_reasserted_total",
                                     "Documents into which this replica merged what it knew.")
                           .Add({});
  store_unreadable_ = &CounterFamily(registry_, "candor_ratelimitd_store_unreadable_total",
                                     "Fields of the shared store that nobody could have written.")
                           .Add({});
}

void Metrics::AddReloadSeries() {
  auto& reloads =
      CounterFamily(registry_, "candor_ratelimitd_config_reloads_total", "Configuration reloads.");
  reloads_ok_ = &reloads.Add({{"result", "ok"}});
  reloads_failed_ = &reloads.Add({{"result", "refused"}});
  auto& certificates =
      CounterFamily(registry_, "candor_ratelimitd_certificate_reloads_total",
                    "Changed certificate files that were taken, or refused as unusable.");
  certificates_ok_ = &certificates.Add({{"result", "ok"}});
  certificates_refused_ = &certificates.Add({{"result", "refused"}});
  certificate_end_ = &AddGauge(registry_, "candor_ratelimitd_certificate_end_timestamp_seconds",
                               "When the certificate in use ends, in Unix time; 0 without TLS.");
}

void Metrics::AddTableSeries() {
  auto& targets = prometheus::BuildGauge()
                      .Name("candor_ratelimitd_targets")
                      .Help("Remembered targets by the state of their own facts.")
                      .Register(registry_);
  for (int i = 1; i < kHealthStates; ++i) {
    const std::string state(HealthStateName(static_cast<HealthState>(i)));
    targets_[i] = &targets.Add({{"state", state}});
  }
  auto& overrides = prometheus::BuildGauge()
                        .Name("candor_ratelimitd_overrides")
                        .Help("Overrides of operators in force, on providers and on targets.")
                        .Register(registry_);
  for (int i = 1; i < kOverrideModes; ++i) {
    const std::string mode(OverrideModeName(static_cast<OverrideMode>(i)));
    overrides_[i] = &overrides.Add({{"mode", mode}});
  }
  reporters_ = &AddGauge(registry_, "candor_ratelimitd_reporters", "Remembered reporters.");
  evicted_ = &CounterFamily(registry_, "candor_ratelimitd_targets_evicted_total",
                            "Targets without facts forgotten to make room.")
                  .Add({});
  not_remembered_ = &CounterFamily(registry_, "candor_ratelimitd_targets_not_remembered_total",
                                   "Admissions of new targets while the table was full of facts.")
                         .Add({});
  provider_family_ = &prometheus::BuildGauge()
                          .Name("candor_ratelimitd_provider_state")
                          .Help("1 for the most serious state of a provider and its targets.")
                          .Register(registry_);
}

void Metrics::Count(const AdmissionTally& tally) {
  if (tally.admitted > 0) admitted_->Increment(tally.admitted);
  if (tally.probes > 0) probes_->Increment(tally.probes);
  if (tally.retries_granted > 0) retries_granted_->Increment(tally.retries_granted);
  if (tally.retries_refused > 0) retries_refused_->Increment(tally.retries_refused);
  for (int i = 1; i < kRefusalReasons; ++i) {
    if (tally.refused[i] > 0) refused_[i]->Increment(tally.refused[i]);
    if (tally.overruled[i] > 0) overruled_[i]->Increment(tally.overruled[i]);
  }
  for (int kind = 1; kind < kOutcomeKinds; ++kind) {
    for (int ack = 1; ack < kAckStatuses; ++ack) {
      if (tally.reports[kind][ack] > 0) reports_[kind][ack]->Increment(tally.reports[kind][ack]);
    }
  }
}

void Metrics::CountCommit(const absl::Status& status, size_t records) {
  (status.ok() ? commits_ok_ : commits_failed_)->Increment();
  is_store_failing_ = !status.ok();
  if (status.ok()) records_written_->Increment(static_cast<double>(records));
}

void Metrics::ShowFleet(const FleetStatus& status) {
  store_degraded_->Set(status.is_degraded ? 1 : 0);
  RaiseTo(*store_conflicts_, status.conflicts);
  RaiseTo(*store_reasserted_, status.reasserted);
  RaiseTo(*store_unreadable_, status.unreadable);
}

void Metrics::CountReload(const absl::Status& status) {
  (status.ok() ? reloads_ok_ : reloads_failed_)->Increment();
}

void Metrics::CountCertificateReload(const absl::Status& status) {
  (status.ok() ? certificates_ok_ : certificates_refused_)->Increment();
}

void Metrics::ShowCertificateEnd(common::WallTime end) {
  certificate_end_->Set(std::chrono::duration<double>(end.time_since_epoch()).count());
}

void Metrics::ShowProviders(const std::vector<ProviderState>& states) {
  const std::lock_guard lock(mutex_);
  absl::flat_hash_set<std::string_view> known;
  for (const ProviderState& entry : states) known.insert(entry.provider);
  absl::erase_if(providers_, [&](auto& shown) {
    if (known.contains(shown.first)) return false;
    for (int i = 1; i < kHealthStates; ++i) provider_family_->Remove(shown.second[i]);
    return true;
  });
  for (const ProviderState& entry : states) {
    if (providers_.size() >= kMaxProviders && !providers_.contains(entry.provider)) continue;
    auto& gauges = providers_[entry.provider];
    for (int i = 1; i < kHealthStates; ++i) {
      const auto state = static_cast<HealthState>(i);
      if (gauges[i] == nullptr) {
        gauges[i] = &provider_family_->Add(
            {{"provider", entry.provider}, {"state", std::string(HealthStateName(state))}});
      }
      gauges[i]->Set(state == entry.state ? 1 : 0);
    }
  }
}

std::string Metrics::Render(const TableStats& stats) {
  for (int i = 1; i < kHealthStates; ++i) {
    targets_[i]->Set(static_cast<double>(stats.targets_by_state[i]));
  }
  for (int i = 1; i < kOverrideModes; ++i) {
    overrides_[i]->Set(static_cast<double>(stats.overrides_by_mode[i]));
  }
  reporters_->Set(static_cast<double>(stats.reporters));
  ShowProviders(stats.provider_states);
  RaiseTo(*evicted_, stats.evicted);
  RaiseTo(*not_remembered_, stats.not_remembered);
  return prometheus::TextSerializer().Serialize(registry_.Collect());
}

}  // namespace ratelimitd
