// One gateway thread's session: reads messages of reports and asks, answers each message as a
// whole, and sends acknowledgements when they are durable. Reading continues while an answer is
// being written; answers that pile up meanwhile travel together, and a gateway that does not read
// them is not read from either.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "candor/ratelimitd/v1/admission.grpc.pb.h"
#include "ratelimitd/io/admission_desk.h"
#include "ratelimitd/io/call_queue.h"

namespace ratelimitd {

class SessionCall;

// The sessions that are open, for the end of the server. Thread-safe.
class SessionList {
 public:
  void Add(const std::shared_ptr<SessionCall>& session);
  void Remove(const SessionCall& session);
  // Ends every session with UNAVAILABLE, and those that come later too.
  void EndAll();

 private:
  std::mutex mutex_;
  bool is_ending_ = false;  // guarded by mutex_
  std::unordered_map<const SessionCall*, std::weak_ptr<SessionCall>> sessions_;  // likewise
};

class SessionCall : public std::enable_shared_from_this<SessionCall> {
 public:
  using Service = candor::ratelimitd::v1::AdmissionService::AsyncService;

  // Takes sessions on `queue` until the server shuts down. All arguments must outlive that.
  static void Listen(Service& service, CallQueue& queue, AdmissionDesk& desk,
                     SessionList& sessions);

  // Ends the session with UNAVAILABLE once what is to be sent is sent. From any thread.
  void Drain();

 private:
  SessionCall(Service& service, CallQueue& queue, AdmissionDesk& desk, SessionList& sessions);

  void OnStart(bool ok);
  void OnRead(bool ok);
  void OnWrite(bool ok);
  void OnEnd(bool ok);

  grpc::Status Greet();
  grpc::Status Answer();
  void AnswerLater();
  void OnDecided(const DeskJob& job);
  void AcknowledgeLater(std::vector<Acknowledgement> acks, uint64_t ticket);
  void SendAcks(const std::vector<Acknowledgement>& acks);
  // These need mutex_.
  void WriteSome();
  void ReadMore();
  void EndWith(grpc::Status status);
  void FinishWhenWritten();
  bool IsOver() const { return has_ended_ && !is_reading_ && !is_writing_; }

  Service& service_;
  CallQueue::Hold hold_;
  AdmissionDesk& desk_;
  SessionList& sessions_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<pb::SessionResponse, pb::SessionRequest> stream_{&context_};
  EventOf<SessionCall> on_start_{*this, &SessionCall::OnStart};
  EventOf<SessionCall> on_read_{*this, &SessionCall::OnRead};
  EventOf<SessionCall> on_write_{*this, &SessionCall::OnWrite};
  EventOf<SessionCall> on_end_{*this, &SessionCall::OnEnd};
  // Shared by the operations in flight (self_) and by whoever drains or acknowledges.
  std::shared_ptr<SessionCall> self_;

  pb::SessionRequest request_;  // the queue's thread only, as is desk memory
  DeskMemory memory_;
  std::string reporter_;  // empty before the hello

  std::mutex mutex_;
  pb::SessionResponse outgoing_;  // guarded by mutex_, as all below
  bool is_reading_ = false;
  bool is_writing_ = false;
  std::optional<grpc::Status> end_;  // once the session is to end
  bool is_finishing_ = false;        // Finish was called
  bool has_ended_ = false;           // and has completed
  int waiting_batches_ = 0;          // of acknowledgements
  int undecided_ = 0;                // messages that the fleet has not answered yet
};

}  // namespace ratelimitd
