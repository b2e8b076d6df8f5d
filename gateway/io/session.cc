#include "gateway/io/session.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/beast/http/error.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/concat.h"
#include "gateway/core/ascii.h"
#include "gateway/core/failure_reply.h"
#include "gateway/core/request_deadline.h"
#include "gateway/core/request_id.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::beast::error_code;
using std::chrono::milliseconds;

constexpr std::string_view kModelsPath = "/v1/models";
// Beyond a request's own limits, what may wait unparsed: one line of chunk framing.
constexpr size_t kMaxUnparsedBytes = 64 << 10;
// For those who are only told that there are too many.
constexpr milliseconds kRefusedHandshakeTime{3'000};

// What belongs to the Messages API beside the body.
std::vector<HeaderField> AnthropicHeaders(const Headers& headers) {
  std::vector<HeaderField> passed;
  for (const HeaderField& field : headers.fields()) {
    if (field.name == "anthropic-version" || field.name == "anthropic-beta") {
      passed.push_back(field);
    }
  }
  return passed;
}

Failure NoRoute(std::string_view path) {
  const std::string_view responses = EndpointPath(Endpoint::kResponses);
  const bool is_response =
      path.starts_with(responses) && path.substr(responses.size()).starts_with('/');
  std::string message = common::Concat("There is no route ", path, ".");
  if (is_response) {
    message +=
        " This gateway keeps no responses, and does not fetch those that a provider keeps: send "
        "the "
        "whole conversation, and take the response from the answer.";
  }
  return MakeFailure(FailureKind::kUnknownRoute, std::move(message));
}

bool IsModelsPath(std::string_view path) {
  return path == kModelsPath ||
         (path.starts_with(kModelsPath) && path.substr(kModelsPath.size()).starts_with('/'));
}

bool IsHexDigit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }

int HexValue(char c) { return IsDigit(c) ? c - '0' : Lower(c) - 'a' + 10; }

// "%2F" to "/"; a percent sign that starts no escape stays.
std::string DecodePercent(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && IsHexDigit(text[i + 1]) &&
        IsHexDigit(text[i + 2])) {
      decoded.push_back(static_cast<char>(16 * HexValue(text[i + 1]) + HexValue(text[i + 2])));
      i += 2;
    } else {
      decoded.push_back(text[i]);
    }
  }
  return decoded;
}

nlohmann::ordered_json RenderModel(const Route& route) {
  // The fields of OpenAI's model object; a route has no date of creation.
  return {{"id", route.model}, {"object", "model"}, {"created", 0}, {"owned_by", "candor"}};
}

std::string Dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

Session::Session(SessionServices& services, std::shared_ptr<ClientConnection> connection,
                 std::string remote_address)
    : services_(services),
      memory_(services.load.memory),
      loop_(services.loop),
      connection_(std::move(connection)),
      remote_address_(std::move(remote_address)) {
  services_.load.connections.fetch_add(1, std::memory_order_relaxed);
  services_.metrics.client_connections().Increment();
}

Session::~Session() {
  SetBusy();
  if (is_refused_) services_.load.refusals.fetch_sub(1, std::memory_order_relaxed);
  Uncount();
}

void Session::Uncount() {
  if (!std::exchange(is_counted_, false)) return;
  services_.load.connections.fetch_sub(1, std::memory_order_relaxed);
  services_.metrics.client_connections().Decrement();
}

asio::awaitable<void> Session::Run() {
  SetIdle();
  bool is_open = co_await BeginTls(services_.config->config->limits.header_timeout);
  while (is_open) {
    is_open = co_await ServeOne();
  }
  connection_->Close();
}

asio::awaitable<void> Session::Refuse() {
  Uncount();
  is_refused_ = true;
  Failure failure =
      Overloaded(Shed::kConnection, "This gateway has as many connections as it may.");
  const int64_t others = services_.load.refusals.fetch_add(1, std::memory_order_relaxed);
  if (others >= ServerLoad::kMaxRefusals) co_return;
  const bool is_open = co_await BeginTls(kRefusedHandshakeTime);
  if (is_open) co_await AnswerOnce(std::move(failure));
}

// False when the connection has ended; true at once where clients speak plain HTTP.
asio::awaitable<bool> Session::BeginTls(milliseconds longest) {
  const TlsContext context = services_.config->client_tls;
  if (!context) co_return true;
  const auto result = co_await connection_->StartTls(*context, loop_.clock.Monotonic() + longest);
  services_.metrics.CountHandshake(result);
  if (result == HandshakeResult::kSpokeHttp) {
    co_await AnswerOnce(MakeFailure(FailureKind::kBadRequest,
                                    "This port speaks HTTPS: begin the address with https://."));
  }
  co_return result == HandshakeResult::kDone;
}

// Answers without a request and closes.
asio::awaitable<void> Session::AnswerOnce(Failure failure) {
  config_ = services_.config;
  parser_.emplace(limits().header_bytes, limits().body_bytes);
  BeginRequest();
  const Served served = co_await Fail(std::nullopt, std::move(failure));
  LogAccess(served);
  co_await connection_->LingeringClose();
}

bool Session::CloseIfIdle() {
  if (!idle_place_ || connection_->HasUnread()) return false;
  SetBusy();
  // Who sees it closed and connects anew must not find it counted.
  Uncount();
  connection_->Close();
  return true;
}

void Session::CloseIfDone() {
  if (!idle_place_) return;
  const auto waited = loop_.clock.Monotonic() - (*idle_place_)->since;
  if (has_had_request_ || waited >= kFirstRequestTime) CloseIfIdle();
}

void Session::SetIdle() {
  if (!idle_place_) idle_place_ = services_.idle.Add(*this);
}

void Session::SetBusy() {
  if (idle_place_) services_.idle.Remove(*std::exchange(idle_place_, std::nullopt));
}

// False when the connection has ended.
asio::awaitable<bool> Session::ServeOne() {
  config_ = services_.config;
  parser_.emplace(limits().header_bytes, limits().body_bytes);
  SetIdle();
  const HeadResult head = co_await ReadHead();
  if (head == HeadResult::kClosed) co_return false;
  const std::string_view own_id = parser_->headers().Get("x-request-id");
  if (IsWellFormedRequestId(own_id)) request_id_ = own_id;
  trace_ = ParseTraceContext(parser_->headers());
  Served served;
  if (head == HeadResult::kRead) {
    served = co_await Answer();
  } else {
    served = co_await FailOutside(*head_failure_);
  }
  LogAccess(served);
  memory_.Release();
  const bool is_whole = parser_->is_done();
  if (served.is_connection_usable && is_whole && After() == AfterReply::kKeepAlive) co_return true;
  if (served.is_connection_usable) co_await connection_->LingeringClose();
  co_return false;
}

asio::awaitable<Session::HeadResult> Session::ReadHead() {
  common::MonotonicTime deadline = loop_.clock.Monotonic() + limits().idle_timeout;
  for (;;) {
    if (!connection_->input().empty()) {
      error_code error;
      connection_->Consume(parser_->Feed(connection_->input(), error));
      const bool has_failed = error && error != http::error::need_more;
      if (idle_place_ && (parser_->got_some() || has_failed)) {
        BeginRequest();
        deadline = started_at_ + limits().header_timeout;
      }
      if (has_failed) {
        head_failure_ = ParseFailure(error);
        co_return HeadResult::kFailed;
      }
      if (parser_->is_header_done()) co_return HeadResult::kRead;
    }
    const auto result = co_await connection_->ReadMore(deadline);
    if (result == ClientConnection::ReadResult::kClosed) co_return HeadResult::kClosed;
    if (result == ClientConnection::ReadResult::kTimedOut) {
      if (idle_place_) co_return HeadResult::kClosed;
      head_failure_ = MakeFailure(FailureKind::kRequestTimeout,
                                  "The head of the request did not arrive in time.");
      co_return HeadResult::kFailed;
    }
  }
}

void Session::BeginRequest() {
  SetBusy();
  has_had_request_ = true;
  config_ = services_.config;
  started_at_ = loop_.clock.Monotonic();
  deadline_ = common::MonotonicTime::max();
  head_failure_.reset();
  client_ = nullptr;
  request_id_ = RenderRequestId(loop_.clock.Wall(), loop_.random(), loop_.random());
  trace_ = {};
  model_.clear();
  attempts_.clear();
  provider_.clear();
  tokens_used_ = 0;
  is_stream_ = false;
  is_degraded_ = false;
}

// Reads what is left of the body; a failure here leaves the connection unusable.
asio::awaitable<std::optional<Failure>> Session::ReadBody() {
  const common::MonotonicTime begun_at = loop_.clock.Monotonic();
  while (!parser_->is_done()) {
    if (!connection_->input().empty()) {
      error_code error;
      connection_->Consume(parser_->Feed(connection_->input(), error));
      std::optional<Failure> failure = HoldBody(static_cast<int64_t>(parser_->body().size()));
      if (failure) co_return failure;
      if (parser_->is_done()) break;
      const bool is_overlong = connection_->input().size() > kMaxUnparsedBytes;
      if (error && (error != http::error::need_more || is_overlong)) {
        co_return ParseFailure(error == http::error::need_more ? http::error::bad_chunk : error);
      }
      if (!error && !connection_->input().empty()) continue;
    }
    const auto received = static_cast<int64_t>(parser_->body().size());
    const std::chrono::seconds earned{received / LimitsConfig::kSlowestBodyBytesPerSecond};
    const common::MonotonicTime longest =
        std::min(loop_.clock.Monotonic(), begun_at + earned) + limits().body_timeout;
    const auto result = co_await connection_->ReadMore(std::min(longest, deadline_));
    if (result == ClientConnection::ReadResult::kClosed) {
      co_return MakeFailure(FailureKind::kClientCancelled, "");
    }
    if (result == ClientConnection::ReadResult::kTimedOut) {
      if (longest >= deadline_) co_return DeadlineExceeded();
      co_return MakeFailure(FailureKind::kRequestTimeout,
                            "The body of the request did not arrive in time.");
    }
  }
  co_return std::nullopt;
}

asio::awaitable<Session::Served> Session::Answer() {
  const std::optional<Endpoint> endpoint = FindEndpoint(parser_->path());
  const bool is_models = IsModelsPath(parser_->path());
  if (!endpoint && !is_models) co_return co_await FailOutside(NoRoute(parser_->path()));
  const std::string_view wanted = is_models ? "GET" : "POST";
  if (parser_->method() != wanted) {
    co_return co_await Fail(endpoint,
                            MakeFailure(FailureKind::kBadMethod,
                                        common::Concat("This route takes ", wanted, " only.")));
  }
  if (std::optional<Failure> failure = CheckHead()) {
    co_return co_await Fail(endpoint, std::move(*failure));
  }
  std::optional<Failure> no_room = is_models ? std::nullopt : CheckRoom();
  if (no_room) co_return co_await Fail(endpoint, std::move(*no_room));
  if (parser_->expects_continue() && !parser_->is_done()) {
    static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
    co_await connection_->Write(Gather(kContinue));
  }
  std::optional<Failure> body_failure = co_await ReadBody();
  if (body_failure) co_return co_await Fail(endpoint, std::move(*body_failure));
  if (is_models) co_return co_await AnswerModels();
  co_return co_await AnswerCall(*endpoint);
}

std::optional<Failure> Session::CheckHead() {
  if (parser_->http_minor() > 0 && !parser_->HasHost()) {
    return MakeFailure(FailureKind::kBadRequest, "The Host header is missing.");
  }
  if (parser_->headers().Has("content-encoding") &&
      !EqualsIgnoreCase(parser_->headers().Get("content-encoding"), "identity")) {
    return MakeFailure(FailureKind::kBadRequest,
                       "Compressed requests are not accepted: send without Content-Encoding.");
  }
  auto timeout = ParseTimeout(parser_->headers());
  if (auto* failure = std::get_if<Failure>(&timeout)) return std::move(*failure);
  if (const auto given = std::get<0>(timeout)) deadline_ = started_at_ + *given;
  const Routes& routes = config_->config->routes;
  if (routes.IsOpen()) return std::nullopt;
  const std::string_view key = ClientKey();
  if (key.empty()) {
    return MakeFailure(FailureKind::kClientAuth,
                       "No API key given: send it as \"Authorization: Bearer KEY\".");
  }
  client_ = routes.Authenticate(key);
  if (client_ != nullptr) return std::nullopt;
  return MakeFailure(FailureKind::kClientAuth, "The API key is not known to this gateway.");
}

// Before the body is read, so that what must be turned away costs little.
std::optional<Failure> Session::CheckRoom() {
  if (services_.load.inflight.load(std::memory_order_relaxed) >= limits().inflight) {
    return Overloaded(Shed::kRequest, "This gateway serves as many requests as it may.");
  }
  return HoldBody(parser_->announced_body_bytes());
}

std::optional<Failure> Session::HoldBody(int64_t bytes) {
  if (memory_.Begin(bytes, limits().memory_bytes)) return std::nullopt;
  return Overloaded(Shed::kBody, "This gateway has no memory left for the request.");
}

Failure Session::Overloaded(Shed what, std::string message) {
  services_.metrics.CountShed(what);
  return MakeOverloaded(std::move(message), loop_.Chance());
}

// OpenAI's clients send a bearer token, Anthropic's x-api-key, Azure's api-key.
std::string_view Session::ClientKey() const {
  const std::string_view authorization = parser_->headers().Get("authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (EqualsIgnoreCase(authorization.substr(0, kBearer.size()), kBearer)) {
    return Trim(authorization.substr(kBearer.size()));
  }
  const std::string_view key = parser_->headers().Get("x-api-key");
  return key.empty() ? parser_->headers().Get("api-key") : key;
}

asio::awaitable<Session::Served> Session::AnswerCall(Endpoint endpoint) {
  auto scanned = ScanRequest(endpoint, parser_->body());
  if (auto* failure = std::get_if<Failure>(&scanned)) {
    co_return co_await Fail(endpoint, std::move(*failure));
  }
  RequestScan& scan = std::get<RequestScan>(scanned);
  model_ = scan.model;
  is_stream_ = scan.is_stream;
  const Route* route = nullptr;
  if (std::optional<Failure> failure = CheckModel(scan, &route)) {
    co_return co_await Fail(endpoint, std::move(*failure));
  }
  if (services_.load.inflight.fetch_add(1, std::memory_order_relaxed) >= limits().inflight) {
    services_.load.inflight.fetch_sub(1, std::memory_order_relaxed);
    Failure failure = Overloaded(Shed::kRequest, "This gateway serves as many requests as it may.");
    co_return co_await Fail(endpoint, std::move(failure));
  }
  services_.metrics.requests_in_flight().Increment();
  const Served served = co_await RunExchange(endpoint, std::move(scan), *route);
  services_.metrics.requests_in_flight().Decrement();
  services_.load.inflight.fetch_sub(1, std::memory_order_relaxed);
  co_return served;
}

std::optional<Failure> Session::CheckModel(const RequestScan& scan, const Route** route) const {
  *route = config_->config->routes.Find(scan.model);
  if (*route == nullptr) {
    Failure failure = MakeFailure(
        FailureKind::kUnknownModel,
        common::Concat("The model `", scan.model, "` is not configured at this gateway."));
    failure.param = "\"model\"";
    return failure;
  }
  if (client_ != nullptr && !MayUse(*client_, scan.model)) {
    Failure failure =
        MakeFailure(FailureKind::kClientForbidden,
                    common::Concat("Your key may not use the model `", scan.model, "`."));
    failure.param = "\"model\"";
    return failure;
  }
  return std::nullopt;
}

asio::awaitable<Session::Served> Session::RunExchange(Endpoint endpoint, RequestScan scan,
                                                      const Route& route) {
  ClientCall call;
  call.endpoint = endpoint;
  call.scan = std::move(scan);
  if (IsAnthropic(endpoint)) {
    call.scan.passed_headers = AnthropicHeaders(parser_->headers());
  }
  call.body = parser_->body();
  call.request_id = request_id_;
  if (client_ != nullptr) call.client_name = client_->name;
  call.route = &route;
  call.http_minor = parser_->http_minor();
  call.after = After();
  trace_headers_ = RenderTraceHeaders(trace_);
  call.trace_headers = trace_headers_;
  call.started_at = started_at_;
  call.deadline = deadline_;
  Exchange exchange(loop_, services_.admission, services_.metrics, config_, *connection_, memory_,
                    std::move(call));
  const ExchangeResult result = co_await exchange.Run();
  attempts_ = RenderAttempts(exchange.plan().attempts());
  if (const common::Target* target = exchange.plan().last_target()) provider_ = target->provider;
  is_degraded_ = exchange.plan().is_degraded();
  tokens_used_ = exchange.tokens_used();
  co_return Served{result.status, endpoint, result.failure, result.is_connection_usable};
}

asio::awaitable<Session::Served> Session::AnswerModels() {
  const Routes& routes = config_->config->routes;
  const auto may_see = [&](const Route& route) {
    return client_ == nullptr || MayUse(*client_, route.model);
  };
  if (parser_->path() == kModelsPath) {
    nlohmann::ordered_json list = {{"object", "list"}, {"data", nlohmann::ordered_json::array()}};
    for (const Route& route : routes.all()) {
      if (may_see(route)) list["data"].push_back(RenderModel(route));
    }
    co_return co_await Reply(200, std::nullopt, Dump(list), {});
  }
  const std::string name = DecodePercent(parser_->path().substr(kModelsPath.size() + 1));
  const Route* route = routes.Find(name);
  if (route == nullptr || !may_see(*route)) {
    co_return co_await Fail(
        std::nullopt,
        MakeFailure(FailureKind::kUnknownModel,
                    common::Concat("The model `", name, "` is not configured at this gateway.")));
  }
  co_return co_await Reply(200, std::nullopt, Dump(RenderModel(*route)), {});
}

asio::awaitable<Session::Served> Session::Fail(std::optional<Endpoint> endpoint, Failure failure) {
  if (failure.kind == FailureKind::kClientCancelled) {
    co_return Served{499, endpoint, failure.kind, false};
  }
  const std::vector<AttemptRecord> no_attempts;
  const std::vector<RefusedTarget> no_refusals;
  const ReplyContext context{request_id_,
                             {},
                             no_attempts,
                             no_refusals,
                             std::nullopt,
                             config_->config->max_client_wait,
                             config_->config->secrets};
  FailureReply reply = RenderFailure(failure, endpoint, context);
  if (failure.kind == FailureKind::kBadMethod) {
    reply.headers.push_back({"allow", endpoint ? "POST" : "GET"});
  }
  // RFC 9110 section 15.5.2.
  if (failure.kind == FailureKind::kClientAuth) {
    reply.headers.push_back({"www-authenticate", "Bearer"});
  }
  Served served =
      co_await Reply(reply.status, endpoint, std::move(reply.body), std::move(reply.headers));
  served.failure = failure.kind;
  co_return served;
}

// On a path that is no endpoint, or not known to be one.
asio::awaitable<Session::Served> Session::FailOutside(Failure failure) {
  Served served = co_await Fail(ErrorDialectOf(parser_->path()), std::move(failure));
  served.endpoint.reset();
  co_return served;
}

asio::awaitable<Session::Served> Session::Reply(int status, std::optional<Endpoint> endpoint,
                                                std::string body, std::vector<HeaderField> more) {
  ReplyHead head;
  head.status = status;
  head.content_length = body.size();
  head.http_minor = parser_->http_minor();
  head.after = parser_->is_done() ? After() : AfterReply::kClose;
  head.endpoint = endpoint;
  head.request_id = request_id_;
  head.latency = std::chrono::duration_cast<milliseconds>(loop_.clock.Monotonic() - started_at_);
  head.overhead = head.latency;
  head.now = loop_.clock.Wall();
  const std::string text = RenderReplyHead(head, more);
  const std::string_view sent =
      parser_->method() == "HEAD" ? std::string_view() : std::string_view(body);
  const bool is_written = co_await connection_->Write(Gather(text, sent));
  co_return Served{status, endpoint, std::nullopt, is_written};
}

Failure Session::ParseFailure(error_code error) const {
  if (error == http::error::header_limit) {
    return MakeFailure(FailureKind::kHeadersTooLarge,
                       common::Concat("The head of the request is larger than ",
                                      limits().header_bytes, " bytes."));
  }
  if (error == http::error::body_limit) {
    return MakeFailure(
        FailureKind::kBodyTooLarge,
        common::Concat("The body of the request is larger than ", limits().body_bytes, " bytes."));
  }
  return MakeFailure(FailureKind::kBadRequest,
                     common::Concat("The request is not valid HTTP: ", error.message(), "."));
}

AfterReply Session::After() const {
  return parser_->is_header_done() && parser_->keep_alive() && !services_.is_draining
             ? AfterReply::kKeepAlive
             : AfterReply::kClose;
}

void Session::LogAccess(const Served& served) {
  const auto duration = loop_.clock.Monotonic() - started_at_;
  services_.metrics.CountRequest(served.endpoint, served.failure, duration);
  if (!config_->config->access_log) return;
  if (services_.access_log.empty()) services_.schedule_log_write();
  common::AppendLogLine(
      loop_.clock.Wall(), common::LogLevel::kInfo, "request",
      {{"request_id", request_id_},
       {"trace_id", trace_.trace_id()},
       {"client", client_ != nullptr ? std::string_view(client_->name) : ""},
       {"remote", remote_address_},
       {"method", parser_->method()},
       {"path", parser_->path()},
       {"model", model_},
       {"stream", is_stream_},
       {"status", int64_t{served.status}},
       {"result", served.failure ? RuleFor(*served.failure).name : "ok"},
       {"fault", served.failure ? FaultName(RuleFor(*served.failure).fault) : ""},
       {"provider", provider_},
       {"attempts", attempts_},
       {"degraded", is_degraded_},
       {"tokens", tokens_used_},
       {"duration_us",
        int64_t{std::chrono::duration_cast<std::chrono::microseconds>(duration).count()}}},
      services_.access_log);
}

}  // namespace gateway
