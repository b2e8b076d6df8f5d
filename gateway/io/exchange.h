// One request from its targets to its answer: carries out the actions of the ExchangePlan, relays
// or renders what comes of them to the client, and reports every attempt to ratelimitd. Not
// thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/config.h"
#include "gateway/core/exchange_plan.h"
#include "gateway/core/memory_budget.h"
#include "gateway/core/reply_head.h"
#include "gateway/dialects/provider_call.h"
#include "gateway/io/admission_client.h"
#include "gateway/io/attempt.h"
#include "gateway/io/client_connection.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/metrics.h"
#include "gateway/io/tls_contexts.h"
#include "gateway/io/upstream_pool.h"

namespace gateway {

// One event loop's view of one configuration.
struct LoopConfig {
  std::shared_ptr<const Config> config;
  // By provider; shared by exchanges under way, so that a reload does not cut them.
  std::vector<std::shared_ptr<UpstreamPool>> pools;
  std::vector<ProviderMetrics*> provider_metrics;
  TlsContext client_tls;  // what new connections begin with; null: plain HTTP
};

// What the session has understood of the request. Views must outlive the exchange.
struct ClientCall {
  Endpoint endpoint = Endpoint::kChatCompletions;
  RequestScan scan;
  std::string_view body;
  std::string_view request_id;
  std::string_view client_name;  // empty: the gateway is open
  const Route* route = nullptr;  // never null
  int http_minor = 1;
  AfterReply after = AfterReply::kKeepAlive;
  // Whole header lines for providers that may see the trace; may be empty.
  std::string_view trace_headers;
  common::MonotonicTime started_at;
  // When the client wants no answer any more.
  common::MonotonicTime deadline = common::MonotonicTime::max();
};

struct ExchangeResult {
  int status = 0;  // 499 when the client went away before one was sent
  std::optional<FailureKind> failure;
  bool is_connection_usable = false;
};

class Exchange {
 public:
  // References must outlive the exchange.
  Exchange(EventLoop& loop, AdmissionSession& admission, Metrics& metrics,
           std::shared_ptr<const LoopConfig> config, ClientConnection& client, MemoryHold& memory,
           ClientCall call);

  // Runs to the last byte of the answer.
  boost::asio::awaitable<ExchangeResult> Run();

  // The trail, for the access log.
  const ExchangePlan& plan() const { return plan_; }
  int64_t tokens_used() const { return tokens_used_; }

 private:
  boost::asio::awaitable<void> CarryOut(ExchangeAction action);
  boost::asio::awaitable<AdmissionVerdict> Ask(const AskAction& ask);
  boost::asio::awaitable<ExchangeAction> TryTarget(const AttemptAction& action);
  boost::asio::awaitable<std::optional<Failure>> Converse();
  boost::asio::awaitable<std::optional<Failure>> ConverseOnce();
  void NewAttempt();
  ResponsesService ResponsesServiceOf(const ProviderConfig& provider) const;
  boost::asio::awaitable<std::optional<Failure>> PassWhole();
  boost::asio::awaitable<std::optional<Failure>> PassStream();
  boost::asio::awaitable<bool> SendStreamPiece(std::string_view bytes);
  boost::asio::awaitable<void> FinishStream(StreamReader& reader);
  boost::asio::awaitable<void> FailStream(Failure failure, StreamPosition position);
  boost::asio::awaitable<void> ReplyWithFailure(FailAction action);

  // The targets of the route that can serve this request, in order; all of them when none can, and
  // then `refusal_` says why.
  std::vector<const RouteTarget*> ChooseTargets();
  std::variant<std::unique_ptr<ProviderCall>, Failure> Plan(const RouteTarget& target);
  bool IsTimeUp() const { return loop_.clock.Monotonic() >= call_.deadline; }
  void GiveBack(const AttemptAction& attempt);
  // Holds memory for so much of an answer; a failure when there is none.
  std::optional<Failure> HoldAnswer(size_t bytes);
  void OnClientLost();
  void ReportFailure(const Failure& failure);
  void ReportSuccess(AttemptReport::Kind kind);
  AttemptReport NewReport(AttemptReport::Kind kind) const;
  std::string RenderHead(int status, std::string_view content_type,
                         std::optional<size_t> content_length, const common::Target* target,
                         std::string_view upstream_request_id,
                         const std::vector<HeaderField>& more) const;
  std::vector<HeaderField> RateLimitHeaders(const Attempt& attempt) const;
  // Of an answer: the above, and what was left out of the request.
  std::vector<HeaderField> AnswerHeaders() const;
  std::string UpstreamRequestId(const Attempt& attempt) const;
  // What the provider of the attempt under way has said, outside of its answer.
  std::string WithoutCredential(std::string_view words) const;
  std::chrono::milliseconds LongestAttempt() const;
  const ProviderConfig& ProviderOf(const RouteTarget& target) const;
  static std::vector<common::Target> TargetsOf(const std::vector<const RouteTarget*>& route);

  EventLoop& loop_;
  AdmissionSession& admission_;
  Metrics& metrics_;
  std::shared_ptr<const LoopConfig> config_;
  ClientConnection& client_;
  MemoryHold& memory_;
  ClientCall call_;
  ClientAsk ask_;
  std::optional<Failure> refusal_;
  struct {
    const RouteTarget* target = nullptr;
    std::unique_ptr<ProviderCall> call;
  } first_call_;  // of the first target, when it had to be translated to know that it can serve
  std::vector<const RouteTarget*> route_;
  ExchangePlan plan_;

  // Of the attempt under way.
  std::unique_ptr<Attempt> attempt_;
  std::unique_ptr<ProviderCall> provider_call_;
  const RouteTarget* target_ = nullptr;
  std::string token_;
  bool is_relayed_ = false;
  std::optional<ClientLimitStatus> client_limits_;  // as last told
  std::chrono::milliseconds provider_time_{0};      // spent waiting for providers before the status
  int64_t tokens_used_ = 0;
  bool is_cancelled_ = false;
  bool has_head_gone_ = false;  // the status line is with the client
  ExchangeResult result_;
};

}  // namespace gateway
