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

size_t AuditedJob::DecisiveState(const ratelimitd::TargetTable& table) const {
  std::string state;
  for (const common::Target& key : audit_.keys) {
    const ratelimitd::DocumentKey document{ratelimitd::DocumentKind::kProvider, key.provider};
    for (const ratelimitd::FieldName& name : table.FieldsOf(document)) {
      state += table.WriteField(name, ratelimitd::StateScope::kDecisive).bytes;
    }
  }
  return std::hash<std::string>()(state);
}

void AuditedJob::Work(ratelimitd::TargetTable& table, const ratelimitd::NextMoment& next_moment) {
  witness_.known = auditor_.turn();
  const size_t state_before = DecisiveState(table);
  witness_.before = LookAround(table, next_moment());
  if (audit_.ask) {
    const auto names = NamesOf(audit_.ask->targets);
    table.Admit(
        {.reporter = audit_.ask->reporter, .targets = names, .mode = ratelimitd::AdmitMode::kPeek},
        next_moment(), witness_.peek);
  }
  job_->Work(table, next_moment);
  witness_.after = LookAround(table, next_moment());
  witness_.has_changed_something = DecisiveState(table) != state_before;
}

void AuditedJob::Confirm(ratelimitd::TargetTable& table, const ratelimitd::FleetOutcome& outcome,
                         MonotonicTime now) {
  job_->Confirm(table, outcome, now);
  if (audit_.judge) audit_.judge(witness_, *job_, outcome);
}

}  // namespace simulation
