// A message of a gateway as a job of the fleet: what AdmissionDesk decides at once when it is
// alone, decided on shared state.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "candor/ratelimitd/v1/admission.pb.h"
#include "ratelimitd/io/admission_desk.h"
#include "ratelimitd/io/fleet_runner.h"

namespace ratelimitd {

class DeskJob final : public FleetJob {
 public:
  // `request` must have passed its check. `metrics` must outlive it.
  DeskJob(pb::SessionRequest request, std::string reporter, LeaseKind lease_kind, Metrics& metrics);

  void Collect(const TargetTable& table, std::vector<DocumentKey>& keys) const override;
  void Work(TargetTable& table, const NextMoment& next_moment) override;
  void Confirm(TargetTable& table, const FleetOutcome& outcome, MonotonicTime now) override;

  // After Confirm.
  const pb::SessionRequest& request() const { return request_; }
  const DeskMemory& memory() const { return memory_; }
  const DeskResult& result() const { return result_; }

 private:
  const pb::SessionRequest request_;
  const std::string reporter_;
  const LeaseKind lease_kind_;
  Metrics& metrics_;
  DeskMemory memory_;
  DeskResult result_;
  AdmissionTally tally_;
};

// Some work on named documents of which nobody waits for a result.
class DocumentsJob final : public FleetJob {
 public:
  using Action = std::function<void(TargetTable& table, const NextMoment& next_moment)>;
  DocumentsJob(std::vector<DocumentKey> keys, Action action)
      : keys_(std::move(keys)), action_(std::move(action)) {}

  void Collect(const TargetTable&, std::vector<DocumentKey>& keys) const override {
    keys.insert(keys.end(), keys_.begin(), keys_.end());
  }
  void Work(TargetTable& table, const NextMoment& next_moment) override {
    action_(table, next_moment);
  }
  void Confirm(TargetTable&, const FleetOutcome&, MonotonicTime) override {}

 private:
  const std::vector<DocumentKey> keys_;
  const Action action_;
};

}  // namespace ratelimitd
