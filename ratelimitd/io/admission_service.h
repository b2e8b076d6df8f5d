// AdmissionService on the server's completion queues.
#pragma once

#include "candor/ratelimitd/v1/admission.grpc.pb.h"
#include "ratelimitd/io/admission_desk.h"
#include "ratelimitd/io/call_queue.h"
#include "ratelimitd/io/session_call.h"

namespace ratelimitd {

class AdmissionService {
 public:
  // `desk` must outlive the server.
  explicit AdmissionService(AdmissionDesk& desk) : desk_(desk) {}

  grpc::Service& service() { return service_; }
  // Takes calls on `queue` until the server shuts down. Call once per queue, after its start.
  void Listen(CallQueue& queue);
  // Ends the sessions.
  void Drain() { sessions_.EndAll(); }

 private:
  AdmissionDesk& desk_;
  candor::ratelimitd::v1::AdmissionService::AsyncService service_;
  SessionList sessions_;
};

}  // namespace ratelimitd
