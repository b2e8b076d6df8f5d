#include "gateway/io/admission_client.h"

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/async_stream.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <random>
#include <utility>

#include "common/concat.h"
#include "gateway/io/admission_messages.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
namespace pb = candor::ratelimitd::v1;
using std::chrono::milliseconds;

constexpr milliseconds kFirstReconnectDelay{50};
constexpr milliseconds kMaxReconnectDelay{1000};
constexpr std::chrono::seconds kStreamGrace{5};
constexpr std::chrono::seconds kFailureLogInterval{10};
// How many streams in a row are begun at once after one that ended; with as many replicas gone, the
// asks are answered as unreachable.
constexpr int kQuickRestarts = 3;
// A silent replica is left after this part of an ask's deadline.
constexpr int kPatience = 3;
// gRPC's round may come by it again, once for each thread and whenever another replica has come or
// gone. More often than this there is no other.
constexpr int kMaxAvoided = 3;
// The first session of a process is moved earlier, since it went to whoever was connected first.
constexpr int kFirstAgePart = 6;
constexpr milliseconds kBusyMoment{20};
constexpr int kMaxBusyMoments = 100;
constexpr int kMaxItemsPerMessage = 4096;  // of admission.proto
// Bounds what a stalled ratelimitd may pile up here.
constexpr size_t kMaxPendingAsks = 65'536;

std::string HostName() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return common::Concat(name, ":", ::getpid());
}

std::string RandomText() { return std::to_string(std::random_device{}()); }

// "ipv4:10.0.0.1:50051,10.0.0.2:50051", or "dns:///name:50051", which may have any number.
bool NamesReplicas(std::string_view target) {
  return target.find(',') != std::string_view::npos || target.substr(0, 4) == "dns:";
}

std::shared_ptr<grpc::ChannelCredentials> Credentials(const RatelimitdConfig& config) {
  if (!config.is_tls) return grpc::InsecureChannelCredentials();
  // gRPC itself asks for TLS 1.2 at least. Without authorities it takes the system's.
  return grpc::SslCredentials({.pem_root_certs = config.tls.ca_pem,
                               .pem_private_key = config.tls.key_pem.Reveal(),
                               .pem_cert_chain = config.tls.cert_pem});
}

std::shared_ptr<pb::AdmissionService::Stub> Connect(const RatelimitdConfig& config) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // Also how long one try may take at least: a busy machine needs more than the first wait.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetLoadBalancingPolicyName("round_robin");
  if (!config.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(config.tls_server_name);
  }
  return pb::AdmissionService::NewStub(
      grpc::CreateCustomChannel(config.target, Credentials(config), arguments));
}

// What gRPC hands back when an operation is done. Keeps its stream alive until then.
struct Operation {
  enum class Kind { kStart, kRead, kWrite, kFinish };
  Kind kind;
  std::shared_ptr<AdmissionStream> stream;
};

}  // namespace

// Operations are started on the event loop's thread, except for the next read, which the gRPC
// thread starts; they end on the gRPC thread, which posts what happened to the event loop.
class AdmissionStream : public std::enable_shared_from_this<AdmissionStream> {
 public:
  AdmissionStream(AdmissionSession& session, AdmissionClient& client)
      : session_(&session), context_(session.context_), client_(client) {}

  void Start() {
    stub_ = client_.stub();
    rpc_ = stub_->PrepareAsyncSession(&call_, &client_.queue_);
    client_.OnStreamBegun();
    rpc_->StartCall(Begin(start_));
  }

  // False while a write is under way; Flush is called again when it is done.
  bool ClaimWrite() {
    for (;;) {
      WriteState state = WriteState::kIdle;
      if (write_state_.compare_exchange_strong(state, WriteState::kBusy)) return true;
      if (state == WriteState::kMoreWanted) return false;
      if (write_state_.compare_exchange_strong(state, WriteState::kMoreWanted)) return false;
    }
  }

  // `message` is taken. Only after ClaimWrite.
  void Write(pb::SessionRequest& message) {
    writing_.Clear();
    writing_.Swap(&message);
    rpc_->Write(writing_, Begin(write_));
  }

  void Cancel() { call_.TryCancel(); }
  // The address of the replica, once started.
  std::string peer() const { return call_.peer(); }
  // The session is gone or has given this stream up: nothing is posted to it any more.
  void Detach() { session_ = nullptr; }

  // On the gRPC thread.
  void OnDone(Operation::Kind kind, bool ok) {
    switch (kind) {
      case Operation::Kind::kStart:
        if (!ok) return Finish();
        rpc_->Read(&reading_, Begin(read_));
        return Post(
            [](AdmissionSession& session, AdmissionStream& self) { session.OnStarted(self); });
      case Operation::Kind::kRead:
        return OnRead(ok);
      case Operation::Kind::kWrite:
        if (write_state_.exchange(WriteState::kIdle) == WriteState::kMoreWanted && ok) {
          Post([](AdmissionSession& session, AdmissionStream&) { session.Flush(); });
        }
        return;
      case Operation::Kind::kFinish:
        client_.OnStreamFinished(status_);
        return Post(
            [](AdmissionSession& session, AdmissionStream& self) { session.OnStreamEnded(self); });
    }
  }

 private:
  enum class WriteState { kIdle, kBusy, kMoreWanted };

  Operation* Begin(Operation& operation) {
    operation.stream = shared_from_this();
    return &operation;
  }

  template <typename F>
  void Post(F event) {
    asio::post(context_, [self = shared_from_this(), event = std::move(event)]() mutable {
      if (self->session_ != nullptr) event(*self->session_, *self);
    });
  }

  void OnRead(bool ok) {
    if (!ok) return Finish();
    auto message = std::make_unique<pb::SessionResponse>();
    message->Swap(&reading_);
    rpc_->Read(&reading_, Begin(read_));
    Post([message = std::move(message)](AdmissionSession& session, AdmissionStream&) {
      session.OnMessage(*message);
    });
  }

  void Finish() { rpc_->Finish(&status_, Begin(finish_)); }

  AdmissionSession* session_;  // only touched on the event loop's thread
  asio::io_context& context_;
  AdmissionClient& client_;
  std::shared_ptr<pb::AdmissionService::Stub> stub_;  // shared with streams of the same connection
  grpc::ClientContext call_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<pb::SessionRequest, pb::SessionResponse>> rpc_;
  pb::SessionRequest writing_;
  pb::SessionResponse reading_;
  grpc::Status status_;
  std::atomic<WriteState> write_state_{WriteState::kIdle};
  Operation start_{Operation::Kind::kStart, nullptr};
  Operation read_{Operation::Kind::kRead, nullptr};
  Operation write_{Operation::Kind::kWrite, nullptr};
  Operation finish_{Operation::Kind::kFinish, nullptr};
};

AdmissionClient::AdmissionClient(const RatelimitdConfig& config, const common::Clock& clock,
                                 common::Log& log)
    : clock_(clock),
      log_(log),
      host_(HostName()),
      incarnation_(RandomText()),
      config_(config),
      stub_(Connect(config)),
      has_replicas_(NamesReplicas(config.target)) {
  thread_ = std::thread([this] { Run(); });
}

AdmissionClient::~AdmissionClient() {
  {
    // A stream that ends still starts its last operation, which a closed queue would not take.
    std::unique_lock lock(mutex_);
    none_open_.wait_for(lock, kStreamGrace, [this] { return open_streams_ == 0; });
  }
  queue_.Shutdown();
  thread_.join();
}

void AdmissionClient::UseConfig(const RatelimitdConfig& config) {
  const std::lock_guard lock(mutex_);
  if (config.is_tls == config_.is_tls && config.tls == config_.tls &&
      config.tls_server_name == config_.tls_server_name) {
    return;
  }
  const std::string target = config_.target;
  config_ = config;
  config_.target = target;
  stub_ = Connect(config_);
}

std::shared_ptr<pb::AdmissionService::Stub> AdmissionClient::stub() {
  const std::lock_guard lock(mutex_);
  return stub_;
}

void AdmissionClient::OnStreamBegun() {
  const std::lock_guard lock(mutex_);
  ++open_streams_;
}

void AdmissionClient::OnStreamFinished(const grpc::Status& status) {
  if (!status.ok() && status.error_code() != grpc::StatusCode::CANCELLED) LogFailure(status);
  const std::lock_guard lock(mutex_);
  if (--open_streams_ == 0) none_open_.notify_all();
}

void AdmissionClient::LogFailure(const grpc::Status& status) {
  const common::MonotonicTime now = clock_.Monotonic();
  if (logged_failure_at_ && now - *logged_failure_at_ < kFailureLogInterval) return;
  logged_failure_at_ = now;
  log_.Write(common::LogLevel::kWarning, "ratelimitd_stream_ended",
             {{"error", std::string(status.error_message())}});
}

void AdmissionClient::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    auto* operation = static_cast<Operation*>(tag);
    const std::shared_ptr<AdmissionStream> stream = std::move(operation->stream);
    stream->OnDone(operation->kind, ok);
  }
}

AdmissionSession::AdmissionSession(asio::io_context& context, AdmissionClient& client,
                                   const common::Clock& clock, Metrics& metrics,
                                   std::shared_ptr<const Config> config, int index)
    : context_(context),
      client_(client),
      clock_(clock),
      metrics_(metrics),
      config_(std::move(config)),
      reporter_(common::Concat(client.host_, ":", client.incarnation_, ":", index)),
      reconnect_delay_(kFirstReconnectDelay),
      reconnect_timer_(context),
      due_(context, [this] { OnTimer(); }),
      linger_(context, [this] { Flush(); }),
      move_on_(context, [this] { MoveOn(); }) {}

AdmissionSession::~AdmissionSession() { Shutdown(); }

void AdmissionSession::Start() {
  StartStream();
  MoveOnAfter(config_->ratelimitd.session_age / kFirstAgePart);
}

void AdmissionSession::Shutdown() {
  is_stopped_ = true;
  reconnect_timer_.cancel();
  move_on_.Clear();
  if (stream_) {
    stream_->Detach();
    stream_->Cancel();
    stream_ = nullptr;
  }
  is_up_ = false;
  FailAllAsks();
}

void AdmissionSession::UseConfig(std::shared_ptr<const Config> config) {
  for (const ProviderConfig& before : config_->providers) {
    for (const ProviderConfig& after : config->providers) {
      const bool is_new = before.credential_fingerprint != after.credential_fingerprint;
      if (before.name == after.name && is_new) known_refusals_.ForgetCredential(after.name);
    }
  }
  config_ = std::move(config);
  pb::SessionHello announced;
  FillHello(announced);
  outgoing_.mutable_credentials()->Swap(announced.mutable_credentials());
  outgoing_.mutable_client_limits()->Swap(announced.mutable_client_limits());
  ScheduleFlush();
}

asio::awaitable<AdmissionVerdict> AdmissionSession::Ask(const AskAction& ask,
                                                        const AskDetails& details) {
  if (IsAway() || asks_.size() >= kMaxPendingAsks) {
    metrics_.CountAsk(AskResult::kUnreachable, milliseconds(0));
    co_return AdmissionVerdict{};
  }
  PendingAsk pending{ask, {}, clock_.Monotonic(), details};
  const uint64_t id = next_correlation_id_++;
  SendAsk(id, pending);
  asks_.emplace(id, &pending);
  waiting_asks_.push_back({id, pending.asked_at});
  due_asks_.push_back({id, pending.asked_at + config_->ratelimitd.deadline});
  SetTimer();
  ScheduleFlush();
  std::optional<Deadline> client_deadline;
  if (details.client_deadline < due_asks_.back().at) {
    client_deadline.emplace(context_, [this, id] { GiveUp(id); });
    client_deadline->Set(details.client_deadline);
  }
  co_return co_await pending.answer.Wait();
}

void AdmissionSession::SendAsk(uint64_t id, const PendingAsk& pending) {
  pb::Ask& out = *outgoing_.add_asks();
  out.set_correlation_id(id);
  for (const common::Target& target : pending.ask.targets) FillTarget(target, *out.add_targets());
  out.set_mode(pending.ask.mode == AskMode::kPeek ? pb::ADMIT_MODE_PEEK
                                                  : pb::ADMIT_MODE_FIRST_AVAILABLE);
  const AskDetails& details = pending.details;
  if (!details.client_name.empty()) out.set_client_name(std::string(details.client_name));
  out.set_cost_tokens(details.cost_tokens);
  out.set_attempt_timeout_ms(details.attempt_timeout.count());
  out.set_continuation(pending.ask.is_continuation);
}

void AdmissionSession::Report(AttemptReport report) {
  const common::MonotonicTime now = clock_.Monotonic();
  const bool may_linger = report.kind == AttemptReport::Kind::kSuccess;
  if (reports_.Add(std::move(report), now) == ReportQueue::Added::kInPlaceOfOldest) {
    metrics_.CountDroppedReport();
  }
  if (!may_linger) {
    ScheduleFlush();
  } else if (!linger_.IsSet()) {
    linger_.Set(now + kSuccessLinger);
  }
}

// One ask at a time still goes out while stalled, to notice the recovery.
bool AdmissionSession::IsAway() const {
  return is_stopped_ || stream_ == nullptr || (is_stalled_ && !asks_.empty());
}

void AdmissionSession::StartStream() {
  if (is_stopped_) return;
  stream_ = std::make_shared<AdmissionStream>(*this, client_);
  reports_.SendAllAgain();
  stream_->Start();
}

// The next one has its own time to answer all of them; else each, late by a little more than the
// one before, would have it left again before it could.
void AdmissionSession::Switch() {
  const common::MonotonicTime now = clock_.Monotonic();
  outgoing_.Clear();
  waiting_asks_.clear();
  for (const auto& [id, pending] : asks_) {
    SendAsk(id, *pending);
    waiting_asks_.push_back({id, now});
  }
  SetTimer();
  StartStream();
}

void AdmissionSession::MoveOnAfter(milliseconds shortest) {
  if (!client_.has_replicas_) return;
  busy_moments_ = 0;
  // Not all at once.
  const auto more = std::random_device{}() % static_cast<uint64_t>(shortest.count() / 2 + 1);
  move_on_.Set(clock_.Monotonic() + shortest + milliseconds(more));
}

void AdmissionSession::MoveOn() {
  const bool is_busy = !asks_.empty() && ++busy_moments_ < kMaxBusyMoments;
  if (is_busy) return move_on_.Set(clock_.Monotonic() + kBusyMoment);
  MoveOnAfter(config_->ratelimitd.session_age);
  // Otherwise a new one is on its way already.
  if (is_up_) Leave();
}

// For the next replica in gRPC's round.
void AdmissionSession::Leave() {
  stream_->Cancel();
  NoteStreamLost();
  Switch();
}

void AdmissionSession::NoteStreamLost() {
  stream_->Detach();
  stream_ = nullptr;
  is_up_ = false;
  if (std::exchange(is_answered_, false)) metrics_.ratelimitd_sessions().Decrement();
}

// Runs after everything else that is ready now, so that one turn of the loop makes one message.
void AdmissionSession::ScheduleFlush() {
  if (is_flush_scheduled_ || !is_up_) return;
  is_flush_scheduled_ = true;
  asio::post(context_, [this] {
    is_flush_scheduled_ = false;
    Flush();
  });
}

void AdmissionSession::Flush() {
  if (!is_up_) return;
  const bool has_news = outgoing_.credentials_size() > 0 || outgoing_.client_limits_size() > 0;
  if (outgoing_.asks_size() == 0 && !has_news && !reports_.HasUnsent()) return;
  if (!stream_->ClaimWrite()) return;
  FillReports(outgoing_);
  linger_.Clear();
  stream_->Write(outgoing_);
  if (reports_.HasUnsent()) ScheduleFlush();
}

void AdmissionSession::FillHello(pb::SessionHello& hello) const {
  hello.set_reporter(reporter_);
  hello.set_host(client_.host_);
  for (const ProviderConfig& provider : config_->providers) {
    pb::ProviderCredential& credential = *hello.add_credentials();
    credential.set_provider(provider.name);
    credential.set_fingerprint(provider.credential_fingerprint);
  }
  for (const ClientEntry& client : config_->routes.clients()) {
    FillClientLimits(client.name, client.limits, *hello.add_client_limits());
  }
  for (const RefusedTarget& refused : known_refusals_.Remaining(clock_.Monotonic())) {
    FillKnownRefusal(refused, *hello.add_known_refusals());
  }
}

void AdmissionSession::FillReports(pb::SessionRequest& message) {
  const common::MonotonicTime now = clock_.Monotonic();
  while (message.reports_size() < kMaxItemsPerMessage) {
    const ReportQueue::Pending* next = reports_.TakeUnsent();
    if (next == nullptr) return;
    pb::AttemptReport& out = *message.add_reports();
    out.set_sequence_number(next->sequence_number);
    FillReport(next->report, std::chrono::duration_cast<milliseconds>(now - next->happened_at),
               out);
  }
}

void AdmissionSession::OnStarted(AdmissionStream& stream) {
  if (&stream != stream_.get()) return;
  if (!silent_peer_.empty() && stream.peer() == silent_peer_ && avoided_ < kMaxAvoided) {
    ++avoided_;
    return Leave();
  }
  is_up_ = true;
  pb::SessionRequest message;
  message.Swap(&outgoing_);
  FillHello(*message.mutable_hello());
  FillReports(message);
  if (stream_->ClaimWrite()) stream_->Write(message);
  if (reports_.HasUnsent()) ScheduleFlush();
}

void AdmissionSession::OnMessage(const pb::SessionResponse& message) {
  is_stalled_ = false;
  restarts_ = 0;
  silent_peer_.clear();
  last_heard_ = clock_.Monotonic();
  reconnect_delay_ = kFirstReconnectDelay;
  if (!std::exchange(is_answered_, true)) metrics_.ratelimitd_sessions().Increment();
  for (const pb::ReportAck& ack : message.acks()) reports_.OnAcknowledged(ack.sequence_number());
  for (const pb::Verdict& verdict : message.verdicts()) OnVerdict(verdict);
}

void AdmissionSession::OnStreamEnded(AdmissionStream& stream) {
  if (&stream != stream_.get()) return;
  NoteStreamLost();
  if (++restarts_ <= kQuickRestarts) return Switch();
  outgoing_.Clear();
  FailAllAsks();
  reconnect_timer_.expires_after(reconnect_delay_);
  reconnect_delay_ = std::min(2 * reconnect_delay_, kMaxReconnectDelay);
  reconnect_timer_.async_wait([this](boost::system::error_code error) {
    if (!error) StartStream();
  });
}

void AdmissionSession::OnVerdict(const pb::Verdict& verdict) {
  const auto found = asks_.find(verdict.correlation_id());
  if (found == asks_.end()) {
    // Nobody waits for it any more; its permit must not stay out.
    if (verdict.has_grant() && !verdict.grant().token().empty()) {
      AttemptReport report;
      report.kind = AttemptReport::Kind::kFailure;
      report.token = verdict.grant().token();
      Report(std::move(report));
    }
    return;
  }
  PendingAsk& pending = *found->second;
  asks_.erase(found);
  AdmissionVerdict answer = ParseVerdict(verdict, pending.ask.targets);
  const common::MonotonicTime now = clock_.Monotonic();
  known_refusals_.Learn(answer.refused, now);
  if (answer.kind == AdmissionVerdict::Kind::kGranted) {
    known_refusals_.Forget(pending.ask.targets[answer.target_index]);
  }
  metrics_.CountAsk(
      answer.kind == AdmissionVerdict::Kind::kRefused ? AskResult::kRefused : AskResult::kGranted,
      now - pending.asked_at);
  pending.answer.Deliver(std::move(answer));
}

void AdmissionSession::SetTimer() {
  auto next = common::MonotonicTime::max();
  if (!waiting_asks_.empty()) next = waiting_asks_.front().since + Patience();
  if (!due_asks_.empty()) next = std::min(next, due_asks_.front().at);
  if (next != common::MonotonicTime::max()) due_.Set(next);
}

void AdmissionSession::OnTimer() {
  OnAskDue();
  OnAskLate();
  SetTimer();
}

// Never 0, or whoever is late would be so again at once.
std::chrono::nanoseconds AdmissionSession::Patience() const {
  return std::chrono::nanoseconds(config_->ratelimitd.deadline) / kPatience;
}

void AdmissionSession::OnAskLate() {
  const common::MonotonicTime now = clock_.Monotonic();
  bool is_silent = false;
  while (!waiting_asks_.empty() && waiting_asks_.front().since + Patience() <= now) {
    const WaitingAsk waiting = waiting_asks_.front();
    waiting_asks_.pop_front();
    if (!asks_.contains(waiting.correlation_id)) continue;
    is_silent |= last_heard_ < waiting.since;
    waiting_asks_.push_back({waiting.correlation_id, now});
  }
  if (!is_silent || stream_ == nullptr || !client_.has_replicas_) return;
  silent_peer_ = stream_->peer();
  avoided_ = 0;
  Leave();
}

void AdmissionSession::OnAskDue() {
  const common::MonotonicTime now = clock_.Monotonic();
  while (!due_asks_.empty() && due_asks_.front().at <= now) {
    const auto found = asks_.find(due_asks_.front().correlation_id);
    due_asks_.pop_front();
    if (found == asks_.end()) continue;
    PendingAsk& pending = *found->second;
    asks_.erase(found);
    is_stalled_ = true;
    metrics_.CountAsk(AskResult::kUnreachable, now - pending.asked_at);
    pending.answer.Deliver(AdmissionVerdict{});
  }
}

// The client has gone before ratelimitd had to answer, which says nothing of ratelimitd.
void AdmissionSession::GiveUp(uint64_t id) {
  const auto found = asks_.find(id);
  if (found == asks_.end()) return;
  PendingAsk& pending = *found->second;
  asks_.erase(found);
  pending.answer.Deliver(AdmissionVerdict{});
}

void AdmissionSession::FailAllAsks() {
  absl::flat_hash_map<uint64_t, PendingAsk*> asks;
  asks.swap(asks_);
  waiting_asks_.clear();
  due_asks_.clear();
  for (auto& [id, pending] : asks) {
    metrics_.CountAsk(AskResult::kUnreachable, clock_.Monotonic() - pending->asked_at);
    pending->answer.Deliver(AdmissionVerdict{});
  }
}

}  // namespace gateway
