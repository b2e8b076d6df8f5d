#include "ratelimitd/io/admission_service.h"

#include "ratelimitd/io/rpc_error.h"
#include "ratelimitd/io/unary_call.h"

namespace ratelimitd {

using Async = candor::ratelimitd::v1::AdmissionService::AsyncService;

void AdmissionService::Listen(CallQueue& queue) {
  SessionCall::Listen(service_, queue, desk_, sessions_);
  UnaryCall<Async, pb::AdmitRequest, pb::AdmitResponse>::Listen(
      service_, &Async::RequestAdmit, queue,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        if (desk_.IsInFleet()) return desk_.SubmitAdmit(request, response, finish);
        finish(desk_.Admit(request, response));
      });
  UnaryCall<Async, pb::ReportRequest, pb::ReportResponse>::Listen(
      service_, &Async::RequestReport, queue,
      [this](const auto&, const auto& request, auto& response, const Finish& finish) {
        if (desk_.IsInFleet()) return desk_.SubmitReport(request, response, finish);
        uint64_t ticket = 0;
        const grpc::Status status = desk_.Report(request, response, ticket);
        desk_.WhenDurable(ticket, [finish, status](Durability how) {
          finish(how == Durability::kDurable ? status : DrainingError());
        });
      });
}

}  // namespace ratelimitd
