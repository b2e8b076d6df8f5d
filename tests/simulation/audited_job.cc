#include "tests/simulation/audited_job.h"

#include "tests/simulation/server_side.h"

namespace simulation {

void AuditedJob::Collect(const ratelimitd::TargetTable& table,
                         std::vector<ratelimitd::DocumentKey>& keys) const {
  job_->Collect(table, keys);
  keys.insert(keys.end(), audit_.documents.begin(), audit_.documents.end());
}

RecordedWitness::Looks AuditedJob::LookAround(ratelimitd::TargetTable& table,
                                              const ratelimitd::Moment& moment) const {
  RecordedWitness::Looks looks;
  for (const common::Target& key : audit_.keys) {
    looks[key] = LookInto(table, key, moment, ahead_());
  }
  return looks;
}

void AuditedJob::Work(ratelimitd::TargetTable& table, const ratelimitd::NextMoment& next_moment) {
  witness_.before = LookAround(table, next_moment());
  if (audit_.ask) {
    const auto names = NamesOf(audit_.ask->targets);
    table.Admit(
        {.reporter = audit_.ask->reporter, .targets = names, .mode = ratelimitd::AdmitMode::kPeek},
        next_moment(), witness_.peek);
  }
  job_->Work(table, next_moment);
  witness_.after = LookAround(table, next_moment());
}

void AuditedJob::Confirm(ratelimitd::TargetTable& table, const ratelimitd::FleetOutcome& outcome,
                         MonotonicTime now) {
  job_->Confirm(table, outcome, now);
  if (audit_.judge) audit_.judge(witness_, *job_, outcome);
}

}  // namespace simulation
