#include "gateway/io/exchange.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/core/ascii.h"
#include "gateway/core/failure_classifier.h"
#include "gateway/core/failure_reply.h"
#include "gateway/core/scrubber.h"
#include "gateway/dialects/event_stream.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr int kStatusClientGone = 499;  // nginx's word for it, in logs and metrics only
constexpr std::string_view kLastChunk = "0\r\n\r\n";

bool IsJson(std::string_view content_type) { return Contains(Lower(content_type), "json"); }

// Of an answer that had begun.
bool IsBrokenOff(FailureKind kind) {
  return kind == FailureKind::kUpstreamInterrupted || kind == FailureKind::kUpstreamTimeout;
}

int64_t UnixSeconds(common::WallTime time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Exchange::Exchange(EventLoop& loop, AdmissionSession& admission, Metrics& metrics,
                   std::shared_ptr<const LoopConfig> config, ClientConnection& client,
                   MemoryHold& memory, ClientCall call)
    : loop_(loop),
      admission_(admission),
      metrics_(metrics),
      config_(std::move(config)),
      client_(client),
      memory_(memory),
      call_(std::move(call)),
      ask_(call_.endpoint, call_.scan, call_.body, call_.request_id,
           UnixSeconds(loop.clock.Wall())),
      route_(ChooseTargets()),
      plan_(TargetsOf(route_), config_->config->ratelimitd.on_unreachable) {}

std::vector<const RouteTarget*> Exchange::ChooseTargets() {
  std::vector<const RouteTarget*> route = OrderTargets(*call_.route, loop_.Chance());
  std::vector<const RouteTarget*> able;
  able.reserve(route.size());
  for (const RouteTarget* target : route) {
    // What is relayed is asked for as it is; a translation can fail for what a dialect lacks.
    const ProviderConfig& provider = ProviderOf(*target);
    if (IsRelayed(*provider.dialect, call_.endpoint, ResponsesServiceOf(provider))) {
      able.push_back(target);
      continue;
    }
    auto planned = Plan(*target);
    if (auto* failure = std::get_if<Failure>(&planned)) {
      if (!refusal_) refusal_ = std::move(*failure);
      continue;
    }
    // The one that is asked first, as a rule, need not be translated again.
    if (able.empty()) first_call_ = {target, std::get<0>(std::move(planned))};
    able.push_back(target);
  }
  if (able.empty()) return route;
  refusal_.reset();
  return able;
}

std::variant<std::unique_ptr<ProviderCall>, Failure> Exchange::Plan(const RouteTarget& target) {
  const ProviderConfig& provider = ProviderOf(target);
  auto planned = PlanCall(*provider.dialect, provider.endpoint, target.target.model,
                          ResponsesServiceOf(provider), ask_);
  auto* call = std::get_if<std::unique_ptr<ProviderCall>>(&planned);
  if (call != nullptr && provider.trace_context) (*call)->AddHeaders(call_.trace_headers);
  return planned;
}

ResponsesService Exchange::ResponsesServiceOf(const ProviderConfig& provider) const {
  return ChooseResponses(provider.responses,
                         provider.missing_responses->IsKnown(loop_.clock.Monotonic()));
}

asio::awaitable<ExchangeResult> Exchange::Run() {
  client_.Watch([this] { OnClientLost(); });
  if (refusal_) {
    FailAction refusal{*std::move(refusal_), std::nullopt};
    co_await ReplyWithFailure(std::move(refusal));
  } else {
    co_await CarryOut(plan_.Start());
  }
  client_.Unwatch();
  if (is_cancelled_) {
    result_.is_connection_usable = false;
    if (!has_head_gone_) result_.status = kStatusClientGone;
    if (!result_.failure) result_.failure = FailureKind::kClientCancelled;
  }
  if (plan_.is_degraded()) metrics_.CountDegradedRequest();
  co_return result_;
}

asio::awaitable<void> Exchange::CarryOut(ExchangeAction action) {
  while (!is_cancelled_) {
    const bool is_to_fail = std::holds_alternative<FailAction>(action);
    if (!is_to_fail && IsTimeUp()) {
      if (const auto* attempt = std::get_if<AttemptAction>(&action)) GiveBack(*attempt);
      action = plan_.OnDeadline();
    } else if (const auto* ask = std::get_if<AskAction>(&action)) {
      AdmissionVerdict verdict = co_await Ask(*ask);
      std::vector<RefusedTarget> known;
      // Given up for the client's sake: nothing is known of ratelimitd.
      if (verdict.kind == AdmissionVerdict::Kind::kUnreachable && IsTimeUp()) continue;
      if (verdict.kind == AdmissionVerdict::Kind::kUnreachable) {
        known = admission_.known_refusals().Remaining(loop_.clock.Monotonic());
      }
      action = plan_.OnVerdict(std::move(verdict), known);
    } else if (const auto* attempt = std::get_if<AttemptAction>(&action)) {
      if (!plan_.attempts().empty() && plan_.last_target() != nullptr) metrics_.CountFallback();
      ExchangeAction next = co_await TryTarget(*attempt);
      if (has_head_gone_) co_return;
      action = std::move(next);
    } else {
      co_await ReplyWithFailure(std::get<FailAction>(std::move(action)));
      co_return;
    }
  }
  if (const auto* attempt = std::get_if<AttemptAction>(&action)) GiveBack(*attempt);
}

// The permit of an attempt that is not made, since nobody waits for it any more.
void Exchange::GiveBack(const AttemptAction& attempt) {
  if (attempt.token.empty()) return;
  AttemptReport report;
  report.kind = AttemptReport::Kind::kFailure;
  report.token = attempt.token;
  report.target = route_[attempt.route_index]->target;
  admission_.Report(std::move(report));
}

// Of whichever target is chosen: a probe's permit must not end before the probe.
milliseconds Exchange::LongestAttempt() const {
  milliseconds longest{0};
  for (const RouteTarget* target : route_) {
    longest = std::max(longest, ProviderOf(*target).timeouts.total);
  }
  return longest;
}

asio::awaitable<AdmissionVerdict> Exchange::Ask(const AskAction& ask) {
  const auto left = std::chrono::ceil<milliseconds>(call_.deadline - loop_.clock.Monotonic());
  const AskDetails details{
      .client_name = call_.client_name,
      .cost_tokens = AsksModel(call_.endpoint) ? EstimateTokens(call_.body.size()) : 0,
      .attempt_timeout = std::min(LongestAttempt(), left),
      .client_deadline = call_.deadline};
  AdmissionVerdict verdict = co_await admission_.Ask(ask, details);
  if (verdict.client_limits) client_limits_ = verdict.client_limits;
  co_return verdict;
}

asio::awaitable<ExchangeAction> Exchange::TryTarget(const AttemptAction& action) {
  target_ = route_[action.route_index];
  token_ = action.token;
  provider_call_.reset();
  NewAttempt();
  std::optional<Failure> failure = co_await Converse();
  if (is_cancelled_ && !has_head_gone_) failure = MakeFailure(FailureKind::kClientCancelled, "");
  if (!failure) co_return AttemptAction{};  // Answered: nobody looks at the action.
  const milliseconds duration = attempt_->Elapsed();
  provider_time_ += duration;
  failure->target = target_->target;
  if (provider_call_) provider_call_->FitWords(*failure);
  if (attempt_->has_answer()) {
    failure->upstream_request_id = UpstreamRequestId(*attempt_);
    failure->rate_limit_headers = RateLimitHeaders(*attempt_);
  }
  ReportFailure(*failure);
  attempt_->ReleaseConnection();
  attempt_ = nullptr;
  co_return plan_.OnAttemptFailed(std::move(*failure), duration);
}

void Exchange::NewAttempt() {
  attempt_ = std::make_unique<Attempt>(
      loop_, config_->pools[target_->provider_index], ProviderOf(*target_),
      *config_->provider_metrics[target_->provider_index], call_.deadline);
}

// A provider without a route of this name can still be asked in other words, by the same permit;
// that it had to be found out is no failure of its.
asio::awaitable<std::optional<Failure>> Exchange::Converse() {
  std::optional<Failure> failure = co_await ConverseOnce();
  const ProviderConfig& provider = ProviderOf(*target_);
  const bool may_translate = failure && provider_call_ && provider_call_->has_no_route() &&
                             provider.responses == ResponsesMode::kAuto;
  if (!may_translate || is_cancelled_) co_return failure;
  provider.missing_responses->Learn(loop_.clock.Monotonic());
  provider_time_ += attempt_->Elapsed();
  attempt_->ReleaseConnection();
  provider_call_.reset();
  NewAttempt();
  failure = co_await ConverseOnce();
  co_return failure;
}

asio::awaitable<std::optional<Failure>> Exchange::ConverseOnce() {
  if (first_call_.target == target_ && first_call_.call) {
    provider_call_ = std::move(first_call_.call);
  } else {
    auto planned = Plan(*target_);
    if (auto* failure = std::get_if<Failure>(&planned)) co_return std::move(*failure);
    provider_call_ = std::get<std::unique_ptr<ProviderCall>>(std::move(planned));
  }
  const ProviderConfig& provider = ProviderOf(*target_);
  is_relayed_ = IsRelayed(*provider.dialect, call_.endpoint, ResponsesServiceOf(provider));
  std::optional<Failure> failure = HoldAnswer(0);
  if (failure) co_return failure;
  failure = co_await attempt_->Begin(provider_call_->request());
  if (failure && failure->kind == FailureKind::kGatewayOverloaded) {
    metrics_.CountShed(Shed::kProviderConnection);
  }
  if (failure) co_return failure;
  const bool is_success = attempt_->status() / 100 == 2;
  if (call_.scan.is_stream && is_success && !IsJson(attempt_->headers().Get("content-type"))) {
    co_return co_await PassStream();
  }
  co_return co_await PassWhole();
}

// What is translated is there three times: as it came, in between, and as it leaves.
std::optional<Failure> Exchange::HoldAnswer(size_t bytes) {
  const int64_t copies = is_relayed_ ? 1 : 3;
  if (memory_.Grow(copies * static_cast<int64_t>(call_.body.size() + bytes))) return std::nullopt;
  metrics_.CountShed(Shed::kUnderWay);
  return MakeOverloaded("This gateway has no memory left for the answer.", loop_.Chance());
}

asio::awaitable<std::optional<Failure>> Exchange::PassWhole() {
  attempt_->NoteFirstOutput();
  std::string body;
  const auto limit = static_cast<size_t>(config_->config->limits.response_bytes);
  while (!attempt_->IsBodyComplete()) {
    std::optional<Failure> failure = co_await attempt_->ReadBody(body);
    if (failure && IsBrokenOff(failure->kind) && HoldsWithoutBody(attempt_->status())) {
      body.clear();
      break;
    }
    if (!failure) failure = HoldAnswer(body.size());
    if (failure) co_return failure;
    if (body.size() > limit) {
      co_return MakeFailure(FailureKind::kUpstreamMalformed,
                            "The provider's answer is larger than this gateway accepts.");
    }
  }
  const UpstreamReply reply{attempt_->status(), attempt_->headers(), body, loop_.clock.Wall()};
  std::optional<Failure> failure = provider_call_->TakeReply(reply, body);
  if (failure) co_return failure;
  if (call_.scan.is_stream) {
    co_return MakeFailure(FailureKind::kUpstreamMalformed,
                          "The provider answered a request for a stream without one.");
  }
  tokens_used_ = provider_call_->tokens_used();
  ReportSuccess(AttemptReport::Kind::kSuccess);
  const milliseconds duration = attempt_->Elapsed();
  provider_time_ += duration;
  plan_.OnAttemptAnswered(attempt_->status(), duration);
  result_.status = attempt_->status();
  const std::string head =
      RenderHead(result_.status, "application/json", body.size(), &target_->target,
                 UpstreamRequestId(*attempt_), AnswerHeaders());
  attempt_->ReleaseConnection();
  attempt_ = nullptr;
  has_head_gone_ = true;
  result_.is_connection_usable = co_await client_.Write(Gather(head, body));
  co_return std::nullopt;
}

asio::awaitable<std::optional<Failure>> Exchange::PassStream() {
  const std::unique_ptr<StreamReader> reader = provider_call_->NewStreamReader();
  std::string piece;
  size_t held_bytes = 0;  // read and not yet on their way
  for (;;) {
    piece.clear();
    std::optional<Failure> failure = co_await attempt_->ReadBody(piece);
    StreamStep step;
    if (!piece.empty()) {
      step = reader->Feed(piece);
    } else if (!failure) {
      step = reader->Finish();
    }
    // Of comments, for instance, nothing is kept, however many come.
    held_bytes = std::min(held_bytes + piece.size(), kMaxKeptBytes);
    if (!failure) failure = HoldAnswer(held_bytes + step.client_bytes.size());
    // What came before the break still counts: it may hold the end, or a better reason.
    if (failure && !step.failure && !step.is_complete) step.failure = std::move(failure);
    if (step.is_committed && !has_head_gone_) {
      attempt_->NoteFirstOutput();
      ReportSuccess(AttemptReport::Kind::kStreamStarted);
      const milliseconds duration = attempt_->Elapsed();
      provider_time_ += duration;
      plan_.OnAttemptAnswered(attempt_->status(), duration);
      result_.status = 200;
    }
    if (!step.client_bytes.empty() && step.is_committed) {
      held_bytes = 0;
      const common::MonotonicTime began = loop_.clock.Monotonic();
      const bool is_sent = co_await SendStreamPiece(step.client_bytes);
      if (!is_sent || !attempt_->NoteClientWait(loop_.clock.Monotonic() - began)) {
        OnClientLost();
        step.failure = MakeFailure(FailureKind::kClientCancelled, "");
      }
    }
    if (step.failure) {
      // Whoever reads events knows no other status.
      if (step.failure->upstream_status == kStreamStatus) {
        step.failure->upstream_status = attempt_->status();
      }
      if (!has_head_gone_) co_return std::move(*step.failure);
      tokens_used_ = reader->TokensUsed();
      co_await FailStream(std::move(*step.failure), reader->position());
      co_return std::nullopt;
    }
    if (step.is_complete) {
      co_await FinishStream(*reader);
      co_return std::nullopt;
    }
  }
}

// The first piece takes the head along.
asio::awaitable<bool> Exchange::SendStreamPiece(std::string_view bytes) {
  std::string head;
  if (!std::exchange(has_head_gone_, true)) {
    head = RenderHead(200, "text/event-stream", std::nullopt, &target_->target,
                      UpstreamRequestId(*attempt_), AnswerHeaders());
  }
  if (call_.http_minor == 0) {
    co_return co_await client_.Write(Gather(head, bytes));
  }
  absl::StrAppend(&head, absl::Hex(bytes.size()), "\r\n");
  co_return co_await client_.Write(Gather(head, bytes, std::string_view("\r\n")));
}

asio::awaitable<void> Exchange::FinishStream(StreamReader& reader) {
  tokens_used_ = reader.TokensUsed();
  ReportSuccess(AttemptReport::Kind::kSuccess);
  asio::co_spawn(loop_.context, Attempt::ReleaseLater(std::move(attempt_)), asio::detached);
  if (call_.http_minor > 0) {
    result_.is_connection_usable = co_await client_.Write(Gather(kLastChunk));
  }
}

asio::awaitable<void> Exchange::FailStream(Failure failure, StreamPosition position) {
  failure.target = target_->target;
  provider_call_->FitWords(failure);
  failure.upstream_request_id = UpstreamRequestId(*attempt_);
  ReportFailure(failure);
  plan_.OnAnswerFailed(failure, attempt_->Elapsed());
  attempt_ = nullptr;
  result_.failure = failure.kind;
  if (failure.kind == FailureKind::kClientCancelled) co_return;
  const ReplyContext context{std::string(call_.request_id),
                             target_->target,
                             plan_.attempts(),
                             plan_.refused(),
                             std::nullopt,
                             config_->config->max_client_wait,
                             config_->config->secrets,
                             position.next_sequence_number,
                             std::move(position.response_id)};
  const bool is_written =
      co_await SendStreamPiece(RenderStreamFailure(failure, call_.endpoint, context));
  if (is_written && call_.http_minor > 0) {
    result_.is_connection_usable = co_await client_.Write(Gather(kLastChunk));
  }
}

asio::awaitable<void> Exchange::ReplyWithFailure(FailAction action) {
  const Failure& failure = action.failure;
  const common::Target* tried = plan_.last_target();
  const bool was_asked = !failure.target.provider.empty();
  const ReplyContext context{std::string(call_.request_id),
                             was_asked ? failure.target : common::Target{},
                             plan_.attempts(),
                             plan_.refused(),
                             action.admitted_after,
                             config_->config->max_client_wait,
                             config_->config->secrets};
  FailureReply reply = RenderFailure(failure, call_.endpoint, context);
  reply.headers.insert(reply.headers.end(), failure.rate_limit_headers.begin(),
                       failure.rate_limit_headers.end());
  result_.failure = failure.kind;
  result_.status = reply.status;
  const std::string head = RenderHead(reply.status, "application/json", reply.body.size(), tried,
                                      failure.upstream_request_id, reply.headers);
  has_head_gone_ = true;
  result_.is_connection_usable = co_await client_.Write(Gather(head, reply.body));
}

void Exchange::OnClientLost() {
  is_cancelled_ = true;
  if (attempt_) attempt_->Cancel();
}

void Exchange::ReportFailure(const Failure& failure) {
  AttemptReport report = NewReport(AttemptReport::Kind::kFailure);
  report.charge = AsksModel(call_.endpoint) ? ChargeFor(failure) : ChargeWithoutModel(failure);
  report.http_status = failure.upstream_status;
  // A provider may say anything here, too.
  report.provider_code = WithoutCredential(failure.provider_code);
  if (failure.has_unknown_code) metrics_.CountUnknownCode(report.provider_code);
  report.timing = failure.timing;
  if (report.charge == Charge::kAuthFailed) {
    report.credential_fingerprint = attempt_->provider().credential_fingerprint;
  }
  if (token_.empty() && report.charge != Charge::kNotSent) {
    admission_.known_refusals().LearnFailure(target_->target, failure, loop_.clock.Monotonic());
  }
  admission_.Report(std::move(report));
  attempt_->metrics().CountAttempt(failure.kind, loop_.clock.Monotonic() - attempt_->started_at());
}

void Exchange::ReportSuccess(AttemptReport::Kind kind) {
  // Where no model was asked, the permit is given back and nothing learned.
  AttemptReport report =
      NewReport(AsksModel(call_.endpoint) ? kind : AttemptReport::Kind::kFailure);
  report.http_status = attempt_->status();
  report.tokens_used = tokens_used_;
  admission_.Report(std::move(report));
  if (kind != AttemptReport::Kind::kSuccess) return;
  attempt_->metrics().tokens->Increment(static_cast<double>(tokens_used_));
  attempt_->metrics().CountAttempt(std::nullopt, loop_.clock.Monotonic() - attempt_->started_at());
}

AttemptReport Exchange::NewReport(AttemptReport::Kind kind) const {
  AttemptReport report;
  report.kind = kind;
  report.token = token_;
  report.target = target_->target;
  report.time_to_first_byte = attempt_->time_to_first_byte();
  report.duration = attempt_->Elapsed();
  return report;
}

std::string Exchange::RenderHead(int status, std::string_view content_type,
                                 std::optional<size_t> content_length, const common::Target* target,
                                 std::string_view upstream_request_id,
                                 const std::vector<HeaderField>& more) const {
  ReplyHead head;
  head.status = status;
  head.content_type = content_type;
  head.content_length = content_length;
  head.http_minor = call_.http_minor;
  head.after = content_length || call_.http_minor > 0 ? call_.after : AfterReply::kClose;
  head.endpoint = call_.endpoint;
  head.request_id = call_.request_id;
  head.target = target;
  head.attempts = &plan_.attempts();
  head.latency =
      std::chrono::duration_cast<milliseconds>(loop_.clock.Monotonic() - call_.started_at);
  head.overhead = std::max(head.latency - provider_time_, milliseconds(0));
  head.degraded = plan_.degraded();
  head.upstream_request_id = upstream_request_id;
  head.now = loop_.clock.Wall();
  if (!client_limits_) return RenderReplyHead(head, more);
  // The caller's own limits are what it can act on; a provider's under the same names would
  // mislead.
  std::vector<HeaderField> headers = RenderLimitHeaders(*client_limits_);
  for (const HeaderField& field : more) {
    if (!field.name.starts_with("x-ratelimit-")) headers.push_back(field);
  }
  return RenderReplyHead(head, headers);
}

std::vector<HeaderField> Exchange::RateLimitHeaders(const Attempt& attempt) const {
  if (!attempt.provider().expose_rate_limits) return {};
  std::vector<HeaderField> headers = PassedOnHeaders(attempt.headers());
  for (HeaderField& field : headers) field.value = WithoutCredential(field.value);
  std::erase_if(headers, [&](const HeaderField& field) {
    return WithoutCredential(field.name) != field.name;
  });
  return headers;
}

std::vector<HeaderField> Exchange::AnswerHeaders() const {
  std::vector<HeaderField> headers = RateLimitHeaders(*attempt_);
  std::string dropped;
  for (const std::string& field : provider_call_->dropped()) {
    absl::StrAppend(&dropped, dropped.empty() ? "" : ", ", field);
  }
  if (!dropped.empty()) headers.push_back({"x-candor-dropped", std::move(dropped)});
  return headers;
}

std::string Exchange::UpstreamRequestId(const Attempt& attempt) const {
  return WithoutCredential(attempt.headers().Get(attempt.provider().dialect->RequestIdHeader()));
}

std::string Exchange::WithoutCredential(std::string_view words) const {
  constexpr size_t kHarmless = 8;  // Shorter than what is known of any credential.
  if (words.size() < kHarmless) return std::string(words);
  return Scrub(words, ProviderOf(*target_).credential_forms);
}

const ProviderConfig& Exchange::ProviderOf(const RouteTarget& target) const {
  return config_->config->providers[target.provider_index];
}

std::vector<common::Target> Exchange::TargetsOf(const std::vector<const RouteTarget*>& route) {
  std::vector<common::Target> targets;
  targets.reserve(route.size());
  for (const RouteTarget* target : route) targets.push_back(target->target);
  return targets;
}

}  // namespace gateway
