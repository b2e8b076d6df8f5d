#include "gateway/io/server.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>
#include <utility>

#include "absl/strings/numbers.h"
#include "common/concat.h"
#include "common/process.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int kBacklog = 4096;
constexpr std::chrono::milliseconds kSweepInterval{5'000};
constexpr std::chrono::milliseconds kDrainCheckInterval{20};
// What the last answers may wait for ratelimitd to acknowledge their reports.
constexpr std::chrono::milliseconds kReportGrace{500};
constexpr std::chrono::seconds kCutGrace{5};
// Out of descriptors: wait for some to be closed instead of spinning.
constexpr std::chrono::milliseconds kAcceptPause{50};

std::string Render(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? common::Concat("[", address, "]:", endpoint.port())
                                    : common::Concat(address, ":", endpoint.port());
}

absl::StatusOr<tcp::endpoint> ParseListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  const std::string port_text = colon == std::string::npos ? "" : listen.substr(colon + 1);
  std::string host = listen.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  uint32_t port = 0;
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (error || !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return absl::InvalidArgumentError(common::Concat(
        "listen: \"", listen, "\" is no address: write ADDRESS:PORT, for instance 0.0.0.0:8080"));
  }
  return tcp::endpoint(address, static_cast<uint16_t>(port));
}

// Whether connections made for `a` serve `b` as well.
bool ShareConnections(const ProviderConfig& a, const ProviderConfig& b) {
  return a.host == b.host && a.port == b.port && a.is_tls == b.is_tls && a.ca_pem == b.ca_pem &&
         a.tls_server_name == b.tls_server_name && a.max_connections == b.max_connections &&
         a.api_key == b.api_key;
}

}  // namespace

Worker::Worker(int index, const std::vector<std::unique_ptr<Worker>>& workers,
               const common::Clock& clock, common::Log& log, Metrics& metrics,
               AdmissionClient& admission, ServerLoad& load)
    : index_(index),
      workers_(workers),
      log_(log),
      metrics_(metrics),
      admission_client_(admission),
      load_(load),
      loop_(clock),
      idle_(loop_, metrics),
      resolver_(loop_.context, clock),
      acceptor_(loop_.context),
      sweep_timer_(loop_.context) {}

Worker::~Worker() { Stop(); }

error_code Worker::Listen(const tcp::endpoint& endpoint) {
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (error) return error;
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;
  if (!error) acceptor_.set_option(ReusePort(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(kBacklog, error);
  return error;
}

tcp::endpoint Worker::local_endpoint() const {
  error_code ignored;
  return acceptor_.local_endpoint(ignored);
}

void Worker::UseConfig(std::shared_ptr<const Config> config, TlsContexts tls, size_t worker_count) {
  if (!services_) {
    admission_ = std::make_unique<AdmissionSession>(loop_.context, admission_client_, loop_.clock,
                                                    metrics_, config, index_);
    services_ = std::make_unique<SessionServices>(
        SessionServices{loop_, *admission_, metrics_, load_, nullptr, idle_, false, "",
                        [this] { asio::post(loop_.context, [this] { WriteAccessLog(); }); }});
    services_->config = BuildLoopConfig(std::move(config), tls, worker_count);
    return;
  }
  asio::post(loop_.context,
             [this, config = std::move(config), tls = std::move(tls), worker_count]() mutable {
               admission_->UseConfig(config);
               services_->config = BuildLoopConfig(std::move(config), tls, worker_count);
             });
}

std::shared_ptr<const LoopConfig> Worker::BuildLoopConfig(std::shared_ptr<const Config> config,
                                                          const TlsContexts& tls,
                                                          size_t worker_count) {
  auto built = std::make_shared<LoopConfig>();
  built->config = std::move(config);
  built->client_tls = tls.clients;
  const LoopConfig* old = services_->config.get();
  for (size_t i = 0; i < built->config->providers.size(); ++i) {
    const ProviderConfig& provider = built->config->providers[i];
    std::shared_ptr<UpstreamPool> pool;
    for (size_t j = 0; old != nullptr && j < old->pools.size(); ++j) {
      const ProviderConfig& before = old->config->providers[j];
      if (before.name == provider.name && ShareConnections(before, provider)) pool = old->pools[j];
    }
    if (!pool) {
      const size_t share =
          (static_cast<size_t>(provider.max_connections) + worker_count - 1) / worker_count;
      pool = std::make_shared<UpstreamPool>(loop_, resolver_, provider, tls.providers[i], share);
    }
    built->pools.push_back(std::move(pool));
    built->provider_metrics.push_back(&metrics_.ForProvider(provider.name));
  }
  return built;
}

void Worker::Start() {
  asio::co_spawn(loop_.context, Accept(), asio::detached);
  asio::co_spawn(loop_.context, Sweep(), asio::detached);
  asio::post(loop_.context, [this] { admission_->Start(); });
  thread_ = std::thread([this] { loop_.context.run(); });
}

void Worker::BeginDrain(std::chrono::milliseconds open_for) {
  asio::post(loop_.context, [this, open_for] {
    services_->is_draining = true;
    last_call_ = loop_.clock.Monotonic() + open_for;
    sweep_timer_.cancel();
  });
}

void Worker::CloseDone() {
  const auto sessions = sessions_;  // Closing ends coroutines, which change the set.
  for (Session* session : sessions) session->CloseIfDone();
}

void Worker::Stop() {
  if (!thread_.joinable()) return;
  asio::post(loop_.context, [this] {
    error_code ignored;
    acceptor_.close(ignored);
    admission_->Shutdown();
    EndSessions(loop_.clock.Monotonic() + kCutGrace);
  });
  thread_.join();
}

// Coroutines must end before what they use is destroyed, so the loop runs until they have.
void Worker::EndSessions(common::MonotonicTime deadline) {
  const auto sessions = sessions_;
  for (Session* session : sessions) session->Abort();
  if (sessions_.empty() || loop_.clock.Monotonic() >= deadline) {
    loop_.context.stop();
    return;
  }
  asio::post(loop_.context, [this, deadline] { EndSessions(deadline); });
}

asio::awaitable<void> Worker::Accept() {
  for (;;) {
    error_code error;
    tcp::socket socket(loop_.context);
    std::tie(error) = co_await acceptor_.async_accept(socket, kAwait);
    if (error && !acceptor_.is_open()) co_return;
    if (error) {
      log_.Write(common::LogLevel::kWarning, "accept_failed", {{"error", error.message()}});
      asio::steady_timer pause(loop_.context, kAcceptPause);
      co_await pause.async_wait(kAwait);
      continue;
    }
    asio::co_spawn(loop_.context, RunSession(std::move(socket)), asio::detached);
  }
}

asio::awaitable<void> Worker::RunSession(tcp::socket socket) {
  error_code ignored;
  const std::string remote = Render(socket.remote_endpoint(ignored));
  const LimitsConfig& limits = services_->config->config->limits;
  Session session(
      *services_,
      std::make_shared<ClientConnection>(loop_, std::move(socket), limits.write_timeout), remote);
  sessions_.insert(&session);
  const bool is_over = load_.connections.load(std::memory_order_relaxed) > limits.connections;
  if (is_over && !MakeRoom()) {
    co_await session.Refuse();
  } else {
    co_await session.Run();
  }
  sessions_.erase(&session);
}

// The connection, of all threads, that has waited for a next request for the longest has to go.
// False: none waits.
bool Worker::MakeRoom() {
  for (size_t tries = 0; tries < workers_.size(); ++tries) {
    const auto oldest = std::min_element(
        workers_.begin(), workers_.end(),
        [](const auto& a, const auto& b) { return a->idle_.oldest() < b->idle_.oldest(); });
    if ((*oldest)->idle_.oldest() == common::MonotonicTime::max()) return false;
    if ((*oldest)->idle_.AskToCloseOldest()) return true;
  }
  return false;
}

// Looks after what no request wakes: idle upstream connections and the progress of a drain.
asio::awaitable<void> Worker::Sweep() {
  std::optional<common::MonotonicTime> quiet_since;
  for (;;) {
    sweep_timer_.expires_after(services_->is_draining ? kDrainCheckInterval : kSweepInterval);
    co_await sweep_timer_.async_wait(kAwait);
    for (const auto& pool : services_->config->pools) pool->CloseStale();
    if (!services_->is_draining) continue;
    CloseDone();
    const common::MonotonicTime now = loop_.clock.Monotonic();
    error_code ignored;
    if (now >= last_call_) acceptor_.close(ignored);
    if (!sessions_.empty()) {
      quiet_since.reset();
    } else if (!quiet_since) {
      quiet_since = now;
    }
    is_drained_ =
        quiet_since && (!admission_->HasPendingReports() || now - *quiet_since > kReportGrace);
  }
}

void Worker::WriteAccessLog() {
  log_.WriteLines(services_->access_log);
  services_->access_log.clear();
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(std::shared_ptr<const Config> config,
                                                      TlsContexts tls, const common::Clock& clock,
                                                      common::Log& log, Metrics& metrics,
                                                      ServerLoad& load) {
  absl::StatusOr<tcp::endpoint> endpoint = ParseListen(config->listen);
  if (!endpoint.ok()) return endpoint.status();
  const int threads =
      config->threads > 0 ? static_cast<int>(config->threads) : common::AvailableCpus();
  std::unique_ptr<Server> server(new Server);
  server->admission_ = std::make_unique<AdmissionClient>(config->ratelimitd, clock, log);
  for (int i = 0; i < threads; ++i) {
    auto worker = std::make_unique<Worker>(i, server->workers_, clock, log, metrics,
                                           *server->admission_, load);
    if (const error_code error = worker->Listen(*endpoint)) {
      return absl::UnavailableError(
          common::Concat("cannot listen on ", config->listen, ": ", error.message()));
    }
    *endpoint = worker->local_endpoint();
    worker->UseConfig(config, tls, static_cast<size_t>(threads));
    server->workers_.push_back(std::move(worker));
  }
  server->address_ = Render(*endpoint);
  for (const auto& worker : server->workers_) worker->Start();
  return server;
}

// gRPC posts its last words to the loops, so its thread ends before they are destroyed.
Server::~Server() {
  for (const auto& worker : workers_) worker->Stop();
  admission_ = nullptr;
}

void Server::UseConfig(std::shared_ptr<const Config> config, TlsContexts tls) {
  admission_->UseConfig(config->ratelimitd);
  for (const auto& worker : workers_) worker->UseConfig(config, tls, workers_.size());
}

void Server::Drain(std::chrono::milliseconds longest) {
  // Where callers do not stop coming, the last ones too shall have their answers.
  for (const auto& worker : workers_) worker->BeginDrain(longest / 2);
  const auto is_drained = [&] {
    return std::all_of(workers_.begin(), workers_.end(),
                       [](const auto& worker) { return worker->IsDrained(); });
  };
  for (auto waited = std::chrono::milliseconds(0); !is_drained() && waited < longest;
       waited += kDrainCheckInterval) {
    std::this_thread::sleep_for(kDrainCheckInterval);
  }
}

}  // namespace gateway
