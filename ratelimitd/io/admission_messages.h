// Messages of admission.proto to values of the core and back. Checks every limit of the contract;
// string views in a value live as long as the message.
#pragma once

#include <grpcpp/support/status.h>

#include <vector>

#include "candor/ratelimitd/v1/admission.pb.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

namespace pb = candor::ratelimitd::v1;

// INVALID_ARGUMENT, naming what is over which limit.
grpc::Status CheckReporter(const std::string& reporter);
grpc::Status CheckHello(const pb::SessionHello& hello);
grpc::Status CheckSessionRequest(const pb::SessionRequest& request);
grpc::Status CheckAsk(const pb::Ask& ask);
grpc::Status CheckAdmit(const pb::AdmitRequest& request);
grpc::Status CheckReport(const pb::AttemptReport& report);

// The message must have passed its check. `names` is scratch memory: the ask refers to it.
Ask ParseAsk(const pb::Ask& message, std::string_view reporter, LeaseKind lease_kind,
             std::vector<TargetName>& names);
AttemptReport ParseReport(const pb::AttemptReport& message, std::string_view reporter);
LimitSettings ParseClientLimits(const pb::ClientLimits& message);
KnownRefusal ParseKnownRefusal(const pb::KnownRefusal& message);

void BuildVerdict(const Verdict& verdict, uint64_t correlation_id, pb::Verdict& message);
void BuildAck(uint64_t sequence_number, AckStatus status, pb::ReportAck& message);

}  // namespace ratelimitd
