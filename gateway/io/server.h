// The gateway's threads: each has its own event loop, listener (SO_REUSEPORT), upstream pools and
// session with ratelimitd, and shares nothing with the others but immutable configuration and
// atomic counts.
#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/log.h"
#include "gateway/config.h"
#include "gateway/io/admission_client.h"
#include "gateway/io/metrics.h"
#include "gateway/io/session.h"
#include "gateway/io/tls_contexts.h"

namespace gateway {

// One thread. All public functions but the constructor may be called from any thread.
class Worker {
 public:
  // References must outlive the worker. `workers` are all of the server; they change no more once
  // one has started.
  Worker(int index, const std::vector<std::unique_ptr<Worker>>& workers, const common::Clock& clock,
         common::Log& log, Metrics& metrics, AdmissionClient& admission, ServerLoad& load);
  ~Worker();

  // Before Start: binds; the first worker's port 0 becomes a real one.
  boost::system::error_code Listen(const boost::asio::ip::tcp::endpoint& endpoint);
  boost::asio::ip::tcp::endpoint local_endpoint() const;

  // Before Start, and later at any time.
  void UseConfig(std::shared_ptr<const Config> config, TlsContexts tls, size_t worker_count);
  void Start();
  // From now on answers what is under way, and who comes within `open_for`, and closes connections
  // that are idle; see IsDrained.
  void BeginDrain(std::chrono::milliseconds open_for);
  // Whether now every connection has ended and every report is acknowledged.
  bool IsDrained() const { return is_drained_; }
  // Ends the thread; connections still open are cut.
  void Stop();

 private:
  boost::asio::awaitable<void> Accept();
  boost::asio::awaitable<void> RunSession(boost::asio::ip::tcp::socket socket);
  bool MakeRoom();
  boost::asio::awaitable<void> Sweep();
  std::shared_ptr<const LoopConfig> BuildLoopConfig(std::shared_ptr<const Config> config,
                                                    const TlsContexts& tls, size_t worker_count);
  void WriteAccessLog();
  void CloseDone();
  void EndSessions(common::MonotonicTime deadline);

  int index_;
  const std::vector<std::unique_ptr<Worker>>& workers_;
  common::Log& log_;
  Metrics& metrics_;
  AdmissionClient& admission_client_;
  ServerLoad& load_;
  EventLoop loop_;
  IdleConnections idle_;
  Resolver resolver_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer sweep_timer_;
  common::MonotonicTime last_call_ = common::MonotonicTime::max();
  std::unique_ptr<AdmissionSession> admission_;
  std::unique_ptr<SessionServices> services_;
  absl::flat_hash_set<Session*> sessions_;  // owned by their coroutines
  std::atomic<bool> is_drained_ = false;
  std::thread thread_;
};

class Server {
 public:
  // References must outlive the server. Unavailable: the address cannot be bound.
  static absl::StatusOr<std::unique_ptr<Server>> Start(std::shared_ptr<const Config> config,
                                                       TlsContexts tls, const common::Clock& clock,
                                                       common::Log& log, Metrics& metrics,
                                                       ServerLoad& load);
  ~Server();

  // "127.0.0.1:8080", with the real port.
  const std::string& address() const { return address_; }
  // Requests that begin later use it. Thread-safe.
  void UseConfig(std::shared_ptr<const Config> config, TlsContexts tls);
  // Returns when everything under way has ended, or `longest` has passed. Call once.
  void Drain(std::chrono::milliseconds longest);

 private:
  Server() = default;

  std::string address_;
  std::unique_ptr<AdmissionClient> admission_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace gateway
