// A job of the fleet with eyes: looks at the keys it concerns on the state that it decides on, just
// before and just after, and has the auditor judge what held in the end. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ratelimitd/io/desk_job.h"
#include "tests/simulation/auditor.h"
#include "tests/simulation/redis_link.h"

namespace simulation {

// What a job saw, as the auditor asks for it: before its work until TurnPage, after it from then
// on.
class RecordedWitness final : public Witness {
 public:
  using Looks = std::map<common::Target, std::optional<Look>>;

  void TurnPage() { is_after_ = true; }

  std::optional<Look> LookAt(const common::Target& key) override {
    const Looks& looks = is_after_ ? after : before;
    const auto found = looks.find(key);
    return found == looks.end() ? std::nullopt : found->second;
  }
  Verdict Peek(const std::string&, const std::vector<common::Target>&) override { return peek; }
  ratelimitd::TableStats Stats() override { return {}; }

  Looks before, after;
  Verdict peek;
  // When the state it decided on was read, by provider. Of those that it changed it knew
  // everything, or the store would have refused the change.
  std::map<std::string, Turn> read_at;
  std::set<std::string> changed_providers;

 private:
  bool is_after_ = false;
};

class AuditedJob final : public ratelimitd::FleetJob {
 public:
  using Judge = std::function<void(RecordedWitness& witness, const ratelimitd::FleetJob& job,
                                   const ratelimitd::FleetOutcome& outcome)>;
  // What is to be seen of a job. Nothing: it is not judged.
  struct Audit {
    std::vector<common::Target> keys;
    std::optional<AskFacts> ask;                     // to be peeked before
    std::vector<ratelimitd::DocumentKey> documents;  // beside those that the job needs
    Judge judge;
  };

  // `ahead` tells how far the store's clock is ahead of the simulation's. `link` must outlive it.
  AuditedJob(std::unique_ptr<ratelimitd::FleetJob> job, Audit audit, const RedisLink& link,
             std::function<nanoseconds()> ahead)
      : job_(std::move(job)), audit_(std::move(audit)), link_(link), ahead_(std::move(ahead)) {}

  void Collect(const ratelimitd::TargetTable& table,
               std::vector<ratelimitd::DocumentKey>& keys) const override;
  void Work(ratelimitd::TargetTable& table, const ratelimitd::NextMoment& next_moment) override;
  void Confirm(ratelimitd::TargetTable& table, const ratelimitd::FleetOutcome& outcome,
               MonotonicTime now) override;

 private:
  RecordedWitness::Looks LookAround(ratelimitd::TargetTable& table,
                                    const ratelimitd::Moment& moment) const;

  using ProviderStates = std::map<std::string, std::string>;
  ProviderStates DecisiveStates(const ratelimitd::TargetTable& table) const;

  std::unique_ptr<ratelimitd::FleetJob> job_;
  Audit audit_;
  const RedisLink& link_;
  std::function<nanoseconds()> ahead_;
  RecordedWitness witness_;
};

}  // namespace simulation
