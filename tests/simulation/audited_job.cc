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

AuditedJob::ProviderStates AuditedJob::DecisiveStates(const ratelimitd::TargetTable& table) const {
  ProviderStates states;
  for (const common::Target& key : audit_.keys) {
    std::string& state = states[key.provider];
    if (!state.empty()) continue;
    const ratelimitd::DocumentKey document{ratelimitd::DocumentKind::kProvider, key.provider};
    for (const ratelimitd::FieldName& name : table.FieldsOf(document)) {
      state += table.WriteField(name, ratelimitd::StateScope::kDecisive).bytes;
    }
  }
  return states;
}

void AuditedJob::Work(ratelimitd::TargetTable& table, const ratelimitd::NextMoment& next_moment) {
  witness_.read_at.clear();
  for (const common::Target& key : audit_.keys) {
    witness_.read_at[key.provider] = link_.ReadAt(key.provider);
  }
  const ProviderStates states_before = DecisiveStates(table);
  witness_.before = LookAround(table, next_moment());
  if (audit_.ask) {
    const auto names = NamesOf(audit_.ask->targets);
    table.Admit(
        {.reporter = audit_.ask->reporter, .targets = names, .mode = ratelimitd::AdmitMode::kPeek},
        next_moment(), witness_.peek);
  }
  job_->Work(table, next_moment);
  witness_.after = LookAround(table, next_moment());
  witness_.changed_providers.clear();
  for (const auto& [provider, state] : DecisiveStates(table)) {
    if (state != states_before.at(provider)) witness_.changed_providers.insert(provider);
  }
}

void AuditedJob::Confirm(ratelimitd::TargetTable& table, const ratelimitd::FleetOutcome& outcome,
                         MonotonicTime now) {
  job_->Confirm(table, outcome, now);
  if (audit_.judge) audit_.judge(witness_, *job_, outcome);
}

}  // namespace simulation
