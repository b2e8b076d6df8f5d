// A client's connection from accept to close: reads one request after the other, answers what the
// gateway answers itself, hands the rest to an Exchange, and writes the access log.
// Not thread-safe: lives on one io_context's thread.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "common/log.h"
#include "gateway/config.h"
#include "gateway/core/memory_budget.h"
#include "gateway/core/trace_context.h"
#include "gateway/io/admission_client.h"
#include "gateway/io/client_connection.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/exchange.h"
#include "gateway/io/http_parser.h"
#include "gateway/io/idle_connections.h"
#include "gateway/io/metrics.h"

namespace gateway {

// Counts over all threads, against LimitsConfig.
struct ServerLoad {
  static constexpr int64_t kMaxRefusals = 128;

  MemoryBudget memory;
  std::atomic<int64_t> connections = 0;
  // Connections beyond those that are told so before they are closed, at most kMaxRefusals.
  std::atomic<int64_t> refusals = 0;
  std::atomic<int64_t> inflight = 0;
};

// What all sessions of one event loop share.
struct SessionServices {
  EventLoop& loop;
  AdmissionSession& admission;
  Metrics& metrics;
  ServerLoad& load;
  // The newest configuration; a request keeps the one it began with.
  std::shared_ptr<const LoopConfig> config;
  IdleConnections& idle;
  // Connections are closed after the answer under way.
  bool is_draining = false;
  std::string access_log;  // complete lines, written once per turn of the loop
  absl::AnyInvocable<void()> schedule_log_write;
};

class Session {
 public:
  // How long a new client may take to send its request to a gateway that ends.
  static constexpr std::chrono::milliseconds kFirstRequestTime{2'000};

  // `services` must outlive the session, which counts as a connection from now on.
  Session(SessionServices& services, std::shared_ptr<ClientConnection> connection,
          std::string remote_address);
  ~Session();

  // Runs until the connection is closed.
  boost::asio::awaitable<void> Run();
  // There are too many connections: says `gateway_overloaded` and closes. Closes without a word,
  // and without a TLS handshake, when kMaxRefusals others are being told.
  boost::asio::awaitable<void> Refuse();

  // Closes the connection if no request is under way or has come and is still to be read. Returns
  // whether it did.
  bool CloseIfIdle();
  // As above, for a gateway that ends: not one that is newer than kFirstRequestTime and has had no
  // request yet.
  void CloseIfDone();
  // Closes the connection whatever is under way.
  void Abort() { connection_->Close(); }

 private:
  enum class HeadResult { kRead, kFailed, kClosed };
  // What becomes of one request.
  struct Served {
    int status = 0;
    std::optional<Endpoint> endpoint;
    std::optional<FailureKind> failure;
    bool is_connection_usable = false;
  };

  boost::asio::awaitable<bool> BeginTls(std::chrono::milliseconds longest);
  boost::asio::awaitable<void> AnswerOnce(Failure failure);
  boost::asio::awaitable<bool> ServeOne();
  boost::asio::awaitable<HeadResult> ReadHead();
  boost::asio::awaitable<std::optional<Failure>> ReadBody();
  boost::asio::awaitable<Served> Answer();
  boost::asio::awaitable<Served> AnswerCall(Endpoint endpoint);
  boost::asio::awaitable<Served> RunExchange(Endpoint endpoint, RequestScan scan,
                                             const Route& route);
  boost::asio::awaitable<Served> AnswerModels();
  boost::asio::awaitable<Served> Fail(std::optional<Endpoint> endpoint, Failure failure);
  boost::asio::awaitable<Served> FailOutside(Failure failure);
  boost::asio::awaitable<Served> Reply(int status, std::optional<Endpoint> endpoint,
                                       std::string body, std::vector<HeaderField> more);

  std::optional<Failure> CheckHead();
  // Whether there is room for a request with a body of this size, and for more of it.
  std::optional<Failure> CheckRoom();
  std::optional<Failure> HoldBody(int64_t bytes);
  Failure Overloaded(Shed what, std::string message);
  void Uncount();
  void SetIdle();
  void SetBusy();
  std::optional<Failure> CheckModel(const RequestScan& scan, const Route** route) const;
  Failure ParseFailure(boost::beast::error_code error) const;
  std::string_view ClientKey() const;
  void BeginRequest();
  void LogAccess(const Served& served);
  AfterReply After() const;
  const LimitsConfig& limits() const { return config_->config->limits; }

  SessionServices& services_;
  MemoryHold memory_;  // of the request under way
  EventLoop& loop_;
  std::shared_ptr<ClientConnection> connection_;
  std::string remote_address_;

  // Of the request under way.
  std::shared_ptr<const LoopConfig> config_;
  std::optional<RequestParser> parser_;
  std::optional<Failure> head_failure_;
  const ClientEntry* client_ = nullptr;
  std::string request_id_;
  TraceContext trace_;
  std::string trace_headers_;
  std::string model_;     // as the client named it
  std::string attempts_;  // the trail, for the log
  std::string provider_;
  int64_t tokens_used_ = 0;
  bool is_stream_ = false;
  bool is_degraded_ = false;
  std::optional<IdleConnections::Place> idle_place_;
  bool is_counted_ = true;  // among the connections
  bool is_refused_ = false;
  bool has_had_request_ = false;
  common::MonotonicTime started_at_;
  common::MonotonicTime deadline_;  // of the client's own; max(): none
};

}  // namespace gateway
