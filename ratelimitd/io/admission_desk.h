// Answers messages of gateways from the shared table: the part of AdmissionService that knows
// nothing of streams and queues. Thread-safe.
#pragma once

#include <cstdint>
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
  uint64_t ticket = 0;  // the acks may be sent when this is durable
};

class AdmissionDesk {
 public:
  // All must outlive it.
  AdmissionDesk(SharedTable& table, Metrics& metrics, DurableWaiters& waiters);

  // INVALID_ARGUMENT: the hello breaks a limit. RESOURCE_EXHAUSTED: too many sessions.
  grpc::Status BeginSession(const pb::SessionHello& hello);
  void EndSession(const std::string& reporter);

  // A checked message of a session: applies credentials and reports, then answers the asks into
  // `memory`.
  DeskResult Handle(const pb::SessionRequest& request, const std::string& reporter,
                    DeskMemory& memory);

  // The unary forms. INVALID_ARGUMENT as the proto says.
  grpc::Status Admit(const pb::AdmitRequest& request, pb::AdmitResponse& response);
  grpc::Status Report(const pb::ReportRequest& request, pb::ReportResponse& response,
                      uint64_t& ticket);

  bool IsDurable(uint64_t ticket) const { return waiters_.IsDurable(ticket); }
  void WhenDurable(uint64_t ticket, DurableWaiters::Then then) {
    waiters_.When(ticket, std::move(then));
  }

 private:
  SharedTable& table_;
  Metrics& metrics_;
  DurableWaiters& waiters_;
};

}  // namespace ratelimitd
