#include "tests/simulation/simulated_gateway.h"

#include <algorithm>

#include "common/concat.h"
#include "gateway/io/admission_messages.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kDeadline = 20ms;          // of an ask
constexpr milliseconds kSilence = kDeadline / 3;  // then another replica is asked
constexpr milliseconds kAttemptTimeout = 30s;
constexpr milliseconds kFirstReconnectDelay = 50ms;
constexpr milliseconds kMaxReconnectDelay = 1s;
constexpr milliseconds kResendInterval = 1s;  // of a gateway that makes single calls
constexpr nanoseconds kTurn = 50us;  // of an event loop: what comes within shares a message
constexpr milliseconds kLongestDelayOfAStray = 30s;
constexpr double kCallerErrorShare = 0.02;
constexpr double kCancelledShare = 0.04;

OutcomeKind KindOf(const pb::AttemptReport& report) {
  return static_cast<OutcomeKind>(report.kind());
}

}  // namespace

SimulatedGateway::SimulatedGateway(const World& world, std::string host, int thread, Speech speech,
                                   Random random)
    : world_(world), host_(std::move(host)), thread_(thread), speech_(speech), random_(random) {}

void SimulatedGateway::After(nanoseconds wait, std::function<void()> event) {
  world_.events.After(wait, [this, incarnation = incarnation_, event = std::move(event)] {
    if (is_alive_ && incarnation == incarnation_) event();
  });
}

void SimulatedGateway::Start() {
  is_alive_ = true;
  ++incarnation_;
  reporter_ = common::Concat(host_, ":", incarnation_, ":", thread_);
  last_sequence_number_ = 0;
  last_correlation_id_ = 0;
  reports_ = gateway::ReportQueue();
  known_refusals_ = gateway::KnownRefusals();
  outgoing_.Clear();
  asks_.clear();
  is_stalled_ = false;
  is_flush_due_ = false;
  reconnect_delay_ = kFirstReconnectDelay;
  Connect();
}

void SimulatedGateway::Die() {
  is_alive_ = false;
  if (connection_ != nullptr && speech_ == Speech::kSession) world_.network.Cut(connection_);
  connection_ = nullptr;
}

void SimulatedGateway::Connect() {
  if (!world_.server.IsUp() && speech_ == Speech::kSession) return OnBroken();
  connection_ = std::make_shared<Connection>();
  connection_->speech = speech_;
  connection_->reporter = reporter_;
  const Connection* const mine = connection_.get();
  const auto is_current = [this, mine, incarnation = incarnation_] {
    return is_alive_ && incarnation == incarnation_ && connection_.get() == mine;
  };
  connection_->to_gateway = [this, is_current](const pb::SessionResponse& message) {
    if (is_current()) OnMessage(message);
  };
  connection_->tell_gateway_it_broke = [this, is_current] {
    if (is_current()) OnBroken();
  };
  world_.server.Accept(connection_);
  reports_.SendAllAgain();
  outgoing_.Clear();
  if (speech_ == Speech::kSession) FillHello(*outgoing_.mutable_hello());
  FlushSoon();
}

void SimulatedGateway::OnBroken() {
  if (world_.server.HasReplicas() && world_.server.IsUp()) return Switch();
  connection_ = nullptr;
  outgoing_.Clear();
  FailAllAsks();
  After(reconnect_delay_, [this] { Connect(); });
  reconnect_delay_ = std::min<nanoseconds>(2 * reconnect_delay_, kMaxReconnectDelay);
}

void SimulatedGateway::Switch() {
  if (connection_ != nullptr) world_.network.Cut(connection_);
  Connect();
  for (auto& [old_id, pending] : std::exchange(asks_, {})) {
    const uint64_t id = ++last_correlation_id_;
    SendAsk(id, pending);
    asks_[id] = pending;
    world_.events.At(pending.due_at, [this, id, incarnation = incarnation_] {
      if (is_alive_ && incarnation == incarnation_) OnAskDue(id);
    });
  }
}

bool SimulatedGateway::IsAway() const {
  return connection_ == nullptr || (is_stalled_ && !asks_.empty());
}

void SimulatedGateway::FlushSoon() {
  if (is_flush_due_) return;
  is_flush_due_ = true;
  After(kTurn, [this] {
    is_flush_due_ = false;
    Flush();
  });
}

void SimulatedGateway::Flush() {
  if (connection_ == nullptr) return;
  FillReports(outgoing_);
  world_.network.SendUp(connection_, outgoing_);
  outgoing_.Clear();
  if (speech_ != Speech::kUnary || reports_.IsEmpty()) return;
  After(kResendInterval, [this] {
    reports_.SendAllAgain();
    if (reports_.HasUnsent()) FlushSoon();
  });
}

void SimulatedGateway::FillHello(pb::SessionHello& hello) {
  hello.set_reporter(reporter_);
  hello.set_host(host_);
  for (const auto& [provider, fingerprint] : fingerprints_) {
    pb::ProviderCredential& credential = *hello.add_credentials();
    credential.set_provider(provider);
    credential.set_fingerprint(fingerprint);
  }
  auto refused = known_refusals_.Remaining(world_.events.now());
  std::sort(refused.begin(), refused.end(),
            [](const auto& a, const auto& b) { return a.target < b.target; });
  for (const gateway::RefusedTarget& one : refused) {
    gateway::FillKnownRefusal(one, *hello.add_known_refusals());
  }
}

void SimulatedGateway::FillReports(pb::SessionRequest& message) {
  while (const gateway::ReportQueue::Pending* next = reports_.TakeUnsent()) {
    pb::AttemptReport& out = *message.add_reports();
    out.set_sequence_number(next->sequence_number);
    const auto age = world_.events.now() - next->happened_at;
    gateway::FillReport(next->report, std::chrono::duration_cast<milliseconds>(age), out);
  }
}

void SimulatedGateway::UseCredential(const std::string& provider, const std::string& fingerprint) {
  fingerprints_[provider] = fingerprint;
  if (!is_alive_ || connection_ == nullptr || speech_ == Speech::kUnary) return;
  if (outgoing_.has_hello()) FillHello(*outgoing_.mutable_hello());
  pb::ProviderCredential& credential = *outgoing_.add_credentials();
  credential.set_provider(provider);
  credential.set_fingerprint(fingerprint);
  FlushSoon();
}

void SimulatedGateway::Request(const std::vector<common::Target>& route) {
  if (!is_alive_) return;
  auto exchange = std::make_shared<Exchange>(
      Exchange{gateway::ExchangePlan(route, gateway::OnUnreachable::kAllow), {}, {}, {}, {}});
  CarryOut(exchange, exchange->plan.Start());
}

void SimulatedGateway::CarryOut(const ExchangePtr& exchange, gateway::ExchangeAction action) {
  if (const auto* ask = std::get_if<gateway::AskAction>(&action)) {
    Ask(exchange, *ask);
  } else if (const auto* attempt = std::get_if<gateway::AttemptAction>(&action)) {
    Attempt(exchange, *attempt);
  }
}

void SimulatedGateway::Ask(const ExchangePtr& exchange, const gateway::AskAction& ask) {
  if (IsAway()) return Deliver(exchange, {});
  const uint64_t id = ++last_correlation_id_;
  PendingAsk& pending = asks_[id];
  pending = {exchange, ask.targets, ask.mode, world_.events.now() + kDeadline};
  SendAsk(id, pending);
  After(kDeadline, [this, id] { OnAskDue(id); });
  if (!world_.server.HasReplicas() || speech_ == Speech::kUnary) return;
  After(kSilence, [this, id, asked = connection_] {
    if (asks_.contains(id) && connection_ == asked) Switch();
  });
}

void SimulatedGateway::SendAsk(uint64_t id, const PendingAsk& pending) {
  pb::Ask& out = *outgoing_.add_asks();
  out.set_correlation_id(id);
  for (const common::Target& target : pending.targets) {
    gateway::FillTarget(target, *out.add_targets());
  }
  const bool is_peek = pending.mode == gateway::AskMode::kPeek;
  out.set_mode(is_peek ? pb::ADMIT_MODE_PEEK : pb::ADMIT_MODE_FIRST_AVAILABLE);
  out.set_attempt_timeout_ms(kAttemptTimeout.count());
  FlushSoon();
}

void SimulatedGateway::Deliver(const ExchangePtr& exchange, gateway::AdmissionVerdict verdict) {
  std::vector<gateway::RefusedTarget> known;
  if (verdict.kind == gateway::AdmissionVerdict::Kind::kUnreachable) {
    known = known_refusals_.Remaining(world_.events.now());
  }
  CarryOut(exchange, exchange->plan.OnVerdict(std::move(verdict), known));
}

void SimulatedGateway::Attempt(const ExchangePtr& exchange, const gateway::AttemptAction& action) {
  exchange->target = exchange->plan.route()[action.route_index];
  exchange->token = action.token;
  if (action.token.empty()) exchange->grant = nullptr;
  exchange->began = world_.events.now();
  Answer answer = world_.providers.Ask(exchange->target, egress_);
  if (world_.providers.AreWhole()) {
    // So are the clients: an hourly probe that proves nothing would cost another hour.
  } else if (random_.Happens(kCancelledShare)) {
    answer.failure = gateway::MakeFailure(gateway::FailureKind::kClientCancelled, "");
    answer.latency = std::chrono::duration_cast<milliseconds>(random_.Between(0ms, answer.latency));
  } else if (!answer.failure && random_.Happens(kCallerErrorShare)) {
    answer.failure = gateway::MakeFailure(gateway::FailureKind::kInvalidRequest, "");
  }
  After(answer.latency, [this, exchange, answer] { OnAnswer(exchange, answer); });
}

void SimulatedGateway::OnAnswer(const ExchangePtr& exchange, const Answer& answer) {
  if (answer.failure) return OnFailure(exchange, *answer.failure);
  gateway::AttemptReport report;
  if (!answer.is_stream) return Report(*exchange, report);
  report.kind = gateway::AttemptReport::Kind::kStreamStarted;
  Report(*exchange, report);
  After(answer.stream_length, [this, exchange, answer] {
    if (answer.broken_off) return ReportFailure(*exchange, *answer.broken_off);
    Report(*exchange, {});
  });
}

void SimulatedGateway::OnFailure(const ExchangePtr& exchange, gateway::Failure failure) {
  failure.target = exchange->target;
  ReportFailure(*exchange, failure);
  if (failure.kind == gateway::FailureKind::kClientCancelled) return;
  const auto took = world_.events.now() - exchange->began;
  CarryOut(exchange, exchange->plan.OnAttemptFailed(
                         std::move(failure), std::chrono::duration_cast<milliseconds>(took)));
}

void SimulatedGateway::ReportFailure(const Exchange& exchange, const gateway::Failure& failure) {
  gateway::AttemptReport report;
  report.kind = gateway::AttemptReport::Kind::kFailure;
  report.charge = gateway::ChargeFor(failure);
  report.http_status = failure.upstream_status;
  report.timing = failure.timing;
  if (exchange.token.empty()) {
    known_refusals_.LearnFailure(exchange.target, failure, world_.events.now());
  }
  Report(exchange, std::move(report));
}

void SimulatedGateway::Report(const Exchange& exchange, gateway::AttemptReport report) {
  report.token = exchange.token;
  report.target = exchange.target;
  pb::AttemptReport message;
  gateway::FillReport(report, 0ms, message);
  Told told{.reporter = reporter_,
            .host = speech_ == Speech::kSession ? host_ : reporter_,
            .kind = KindOf(message),
            .target = exchange.target,
            .figure = report.timing.retry_after,
            .scope = message.limit_scope() == pb::LIMIT_SCOPE_PROVIDER
                         ? ratelimitd::LimitScope::kProvider
                         : ratelimitd::LimitScope::kTarget,
            .grant = exchange.grant};
  world_.auditor.OnReportWritten(++last_sequence_number_, std::move(told));
  SendStrayLater(last_sequence_number_, report);
  reports_.Add(std::move(report), world_.events.now());
  FlushSoon();
}

// The same report once more, by another way, much later or before; it arrives even when the gateway
// has died meanwhile.
void SimulatedGateway::SendStrayLater(uint64_t sequence_number,
                                      const gateway::AttemptReport& report) {
  if (!random_.Happens(world_.scenario.ghost_share)) return;
  const auto send = [this, sequence_number, report, reporter = reporter_,
                     happened_at = world_.events.now()] {
    pb::AttemptReport stray;
    stray.set_sequence_number(sequence_number);
    const auto age = world_.events.now() - happened_at;
    gateway::FillReport(report, std::chrono::duration_cast<milliseconds>(age), stray);
    world_.server.TakeStray(reporter, speech_, stray);
  };
  world_.events.After(random_.Between(0ms, kLongestDelayOfAStray), send);
}

void SimulatedGateway::OnMessage(const pb::SessionResponse& message) {
  is_stalled_ = false;
  reconnect_delay_ = kFirstReconnectDelay;
  for (const pb::ReportAck& ack : message.acks()) reports_.OnAcknowledged(ack.sequence_number());
  for (const pb::Verdict& verdict : message.verdicts()) OnVerdict(verdict);
}

void SimulatedGateway::OnVerdict(const pb::Verdict& verdict) {
  const std::shared_ptr<const Grant> grant =
      world_.auditor.GrantOf(reporter_, verdict.correlation_id());
  const auto found = asks_.find(verdict.correlation_id());
  if (found == asks_.end()) {
    // Nobody waits for it any more; its permit must not stay out.
    if (!verdict.has_grant() || verdict.grant().token().empty()) return;
    Exchange nobodys{gateway::ExchangePlan({grant->target}, gateway::OnUnreachable::kAllow),
                     grant->target,
                     verdict.grant().token(),
                     grant,
                     {}};
    gateway::AttemptReport report;
    report.kind = gateway::AttemptReport::Kind::kFailure;
    return Report(nobodys, std::move(report));
  }
  const PendingAsk pending = std::move(found->second);
  asks_.erase(found);
  gateway::AdmissionVerdict answer = gateway::ParseVerdict(verdict, pending.targets);
  known_refusals_.Learn(answer.refused, world_.events.now());
  if (answer.kind == gateway::AdmissionVerdict::Kind::kGranted) {
    known_refusals_.Forget(pending.targets[answer.target_index]);
    pending.exchange->grant = grant;
  }
  Deliver(pending.exchange, std::move(answer));
}

void SimulatedGateway::OnAskDue(uint64_t correlation_id) {
  const auto found = asks_.find(correlation_id);
  if (found == asks_.end()) return;
  const ExchangePtr exchange = found->second.exchange;
  asks_.erase(found);
  is_stalled_ = true;
  Deliver(exchange, {});
}

void SimulatedGateway::FailAllAsks() {
  for (const auto& [id, pending] : std::exchange(asks_, {})) Deliver(pending.exchange, {});
}

}  // namespace simulation
