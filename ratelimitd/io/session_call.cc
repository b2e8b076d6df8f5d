#include "ratelimitd/io/session_call.h"

#include <utility>

#include "ratelimitd/io/desk_job.h"
#include "ratelimitd/io/rpc_error.h"

namespace ratelimitd {
namespace {

// A session with this many answers unsent is not read from.
constexpr int kMaxUnsent = 8192;
// More batches than this waiting for a store that does not follow are not acknowledged at all: the
// gateway reports them again.
constexpr int kMaxWaitingBatches = 1024;
// A session with this many messages on their way through the fleet is not read from.
constexpr int kMaxUndecided = 64;

}  // namespace

void SessionList::Add(const std::shared_ptr<SessionCall>& session) {
  {
    const std::lock_guard lock(mutex_);
    sessions_.emplace(session.get(), session);
    if (!is_ending_) return;
  }
  session->Drain();
}

void SessionList::Remove(const SessionCall& session) {
  const std::lock_guard lock(mutex_);
  sessions_.erase(&session);
}

void SessionList::EndAll() {
  std::vector<std::shared_ptr<SessionCall>> open;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
    for (const auto& [key, weak] : sessions_) {
      if (auto session = weak.lock()) open.push_back(std::move(session));
    }
  }
  for (const auto& session : open) session->Drain();
}

void SessionCall::Listen(Service& service, CallQueue& queue, AdmissionDesk& desk,
                         SessionList& sessions) {
  std::shared_ptr<SessionCall> call(new SessionCall(service, queue, desk, sessions));
  call->self_ = call;
  service.RequestSession(&call->context_, &call->stream_, queue.get(), queue.get(),
                         &call->on_start_);
}

SessionCall::SessionCall(Service& service, CallQueue& queue, AdmissionDesk& desk,
                         SessionList& sessions)
    : service_(service), hold_(queue), desk_(desk), sessions_(sessions) {}

void SessionCall::OnStart(bool ok) {
  if (!ok) {
    self_.reset();
    return;
  }
  Listen(service_, hold_.queue(), desk_, sessions_);
  {
    const std::lock_guard lock(mutex_);
    ReadMore();
  }
  // May end it at once.
  sessions_.Add(self_);
}

void SessionCall::OnRead(bool ok) {
  grpc::Status status;
  if (ok) status = Answer();
  auto keep = self_;
  const std::lock_guard lock(mutex_);
  is_reading_ = false;
  if (!ok || !status.ok()) EndWith(status);
  WriteSome();
  ReadMore();
  if (IsOver()) self_.reset();
}

void SessionCall::OnWrite(bool ok) {
  auto keep = self_;
  const std::lock_guard lock(mutex_);
  is_writing_ = false;
  // A failed write means a dead connection, which the read in flight reports too.
  if (!ok) outgoing_.Clear();
  WriteSome();
  FinishWhenWritten();
  ReadMore();
  if (IsOver()) self_.reset();
}

void SessionCall::OnEnd(bool) {
  sessions_.Remove(*this);
  if (!reporter_.empty()) desk_.EndSession(reporter_);
  auto keep = self_;
  const std::lock_guard lock(mutex_);
  has_ended_ = true;
  if (IsOver()) self_.reset();
}

grpc::Status SessionCall::Greet() {
  if (!request_.has_hello()) {
    return MakeRpcError(grpc::StatusCode::INVALID_ARGUMENT, "NO_HELLO",
                        "the first message of a session must have a hello");
  }
  grpc::Status status = desk_.BeginSession(request_.hello());
  if (status.ok()) reporter_ = request_.hello().reporter();
  return status;
}

grpc::Status SessionCall::Answer() {
  if (reporter_.empty()) {
    if (grpc::Status status = Greet(); !status.ok()) return status;
  }
  if (grpc::Status status = CheckSessionRequest(request_); !status.ok()) return status;
  if (desk_.IsInFleet()) {
    AnswerLater();
    return grpc::Status::OK;
  }
  DeskResult result = desk_.Handle(request_, reporter_, memory_);
  {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < request_.asks_size(); ++i) {
      BuildVerdict(memory_.verdicts[static_cast<size_t>(i)], request_.asks(i).correlation_id(),
                   *outgoing_.add_verdicts());
    }
  }
  if (!result.acks.empty()) AcknowledgeLater(std::move(result.acks), result.ticket);
  return grpc::Status::OK;
}

void SessionCall::AnswerLater() {
  {
    const std::lock_guard lock(mutex_);
    ++undecided_;
  }
  desk_.Submit(std::exchange(request_, {}), reporter_,
               [weak = weak_from_this()](const DeskJob& job) {
                 if (const auto session = weak.lock()) session->OnDecided(job);
               });
}

void SessionCall::OnDecided(const DeskJob& job) {
  {
    const std::lock_guard lock(mutex_);
    for (int i = 0; i < job.request().asks_size(); ++i) {
      pb::Verdict& verdict = *outgoing_.add_verdicts();
      BuildVerdict(job.memory().verdicts[static_cast<size_t>(i)],
                   job.request().asks(i).correlation_id(), verdict);
      if (job.result().is_degraded) verdict.set_degraded(true);
    }
  }
  if (!job.result().acks.empty()) AcknowledgeLater(job.result().acks, job.result().ticket);
  const std::lock_guard lock(mutex_);
  --undecided_;
  if (has_ended_) return;
  WriteSome();
  FinishWhenWritten();
  ReadMore();
}

void SessionCall::AcknowledgeLater(std::vector<Acknowledgement> acks, uint64_t ticket) {
  if (desk_.IsDurable(ticket)) {
    SendAcks(acks);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    if (waiting_batches_ >= kMaxWaitingBatches) return;
    ++waiting_batches_;
  }
  desk_.WhenDurable(ticket, [weak = weak_from_this(), acks = std::move(acks)](Durability how) {
    const auto session = weak.lock();
    if (session == nullptr) return;
    if (how == Durability::kDurable) session->SendAcks(acks);
    const std::lock_guard lock(session->mutex_);
    --session->waiting_batches_;
    session->WriteSome();
    session->FinishWhenWritten();
  });
}

void SessionCall::SendAcks(const std::vector<Acknowledgement>& acks) {
  const std::lock_guard lock(mutex_);
  for (const Acknowledgement& ack : acks) {
    BuildAck(ack.sequence_number, ack.status, *outgoing_.add_acks());
  }
}

void SessionCall::WriteSome() {
  if (is_writing_ || is_finishing_) return;
  if (outgoing_.verdicts_size() == 0 && outgoing_.acks_size() == 0) return;
  is_writing_ = true;
  // Serialised before Write returns, so the message is free again.
  stream_.Write(outgoing_, &on_write_);
  outgoing_.Clear();
}

void SessionCall::ReadMore() {
  if (is_reading_ || end_.has_value()) return;
  if (outgoing_.verdicts_size() + outgoing_.acks_size() > kMaxUnsent) return;
  if (undecided_ >= kMaxUndecided) return;
  is_reading_ = true;
  stream_.Read(&request_, &on_read_);
}

void SessionCall::EndWith(grpc::Status status) {
  if (!end_.has_value()) end_ = std::move(status);
  FinishWhenWritten();
}

void SessionCall::FinishWhenWritten() {
  if (!end_.has_value() || is_writing_ || is_finishing_) return;
  // A gateway that has said its last word still gets its acknowledgements.
  if (end_->ok() && (waiting_batches_ > 0 || undecided_ > 0)) return;
  is_finishing_ = true;
  stream_.Finish(*end_, &on_end_);
}

void SessionCall::Drain() {
  const std::lock_guard lock(mutex_);
  if (end_.has_value() && end_->ok()) end_.reset();
  EndWith(DrainingError());
}

}  // namespace ratelimitd
