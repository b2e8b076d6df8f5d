// Answers messages of gateways from the shared table: the part of AdmissionService that knows
// nothing of streams and queues. A ratelimitd that is alone answers at once; among replicas the
// fleet does, a little later. Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "candor/ratelimitd/v1/admission.pb.h"
#include "ratelimitd/io/admission_messages.h"
#include "ratelimitd/io/durable_waiters.h"
#include "ratelimitd/io/metrics.h"
#include "ratelimitd/io/shared_table.h"

namespace ratelimitd {

// Memory that one caller uses again for every message.
struct DeskMemory {
  std::vector<TargetName> names;
  std::vector<Verdict> verdicts;  // of the message's asks, in order; there may be more
};

struct Acknowledgement {
  uint64_t sequence_number = 0;
  AckStatus status = AckStatus::kApplied;
};

struct DeskResult {
  std::vector<Acknowledgement> acks;
  bool is_promise = false;   // an acknowledgement among them promises to survive a crash
  uint64_t ticket = 0;       // the acks may be sent when this is durable
  bool is_degraded = false;  // the verdicts come from the last known state
};

// A message that has passed its check.
struct DeskMessage {
  const pb::SessionRequest& request;
  std::string_view reporter;
  LeaseKind lease_kind = LeaseKind::kSession;
};

// Applies credentials and reports, then answers the asks into `memory`.
DeskResult DecideMessage(const DeskMessage& message, TargetTable& table,
                         const std::function<Moment()>& next_moment, DeskMemory& memory,
                         AdmissionTally& tally);

class DeskJob;
class FleetQueue;

class AdmissionDesk {
 public:
  // All must outlive it. `fleet` is null for a ratelimitd that is alone.
  AdmissionDesk(SharedTable& table, Metrics& metrics, DurableWaiters& waiters, FleetQueue* fleet);

  // Whether messages are answered by Submit rather than by Handle, Admit and Report.
  bool IsInFleet() const { return fleet_ != nullptr; }

  // INVALID_ARGUMENT: the hello breaks a limit. RESOURCE_EXHAUSTED: too many sessions.
  grpc::Status BeginSession(const pb::SessionHello& hello);
  void EndSession(const std::string& reporter);

  // A checked message of a session: applies credentials and reports, then answers the asks into
  // `memory`.
  DeskResult Handle(const pb::SessionRequest& request, const std::string& reporter,
                    DeskMemory& memory);

  // In a fleet: answers a checked message by calling `done`, on another thread.
  using Done = std::function<void(const DeskJob& job)>;
  void Submit(pb::SessionRequest request, const std::string& reporter, Done done);
  // The unary forms. `finish` may be called at once, with what CheckAsk and CheckReport complain
  // of.
  using Finish = std::function<void(const grpc::Status& status)>;
  void SubmitAdmit(const pb::AdmitRequest& request, pb::AdmitResponse& response, Finish finish);
  void SubmitReport(const pb::ReportRequest& request, pb::ReportResponse& response, Finish finish);

  // The unary forms. INVALID_ARGUMENT as the proto says.
  grpc::Status Admit(const pb::AdmitRequest& request, pb::AdmitResponse& response);
  grpc::Status Report(const pb::ReportRequest& request, pb::ReportResponse& response,
                      uint64_t& ticket);

  bool IsDurable(uint64_t ticket) const { return waiters_.IsDurable(ticket); }
  void WhenDurable(uint64_t ticket, DurableWaiters::Then then) {
    waiters_.When(ticket, std::move(then));
  }

 private:
  void RelearnInFleet(const pb::SessionHello& hello);
  void EndSessionInFleet(const std::string& reporter);
  void SubmitJob(pb::SessionRequest request, const std::string& reporter, LeaseKind lease_kind,
                 Done done);

  SharedTable& table_;
  Metrics& metrics_;
  DurableWaiters& waiters_;
  FleetQueue* fleet_;
};

}  // namespace ratelimitd
