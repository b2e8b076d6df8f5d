#include "gateway/io/upstream_pool.h"

#include <algorithm>
#include <utility>

#include "gateway/io/deadline.h"

namespace gateway {

namespace asio = boost::asio;

UpstreamLease::UpstreamLease(std::shared_ptr<UpstreamPool> pool,
                             std::unique_ptr<UpstreamConnection> connection)
    : pool_(std::move(pool)), connection_(std::move(connection)) {}

UpstreamLease& UpstreamLease::operator=(UpstreamLease&& other) {
  std::swap(pool_, other.pool_);
  std::swap(connection_, other.connection_);
  return *this;
}

UpstreamLease::~UpstreamLease() {
  if (!connection_) return;
  connection_.reset();
  pool_->GiveUpPlace();
}

void UpstreamLease::Release() {
  if (!connection_) return;
  pool_->GiveBack(std::move(connection_));
}

UpstreamPool::UpstreamPool(EventLoop& loop, Resolver& resolver, const ProviderConfig& provider,
                           std::shared_ptr<asio::ssl::context> tls, size_t max_connections)
    : loop_(loop),
      resolver_(resolver),
      tls_(std::move(tls)),
      to_{provider.host, provider.port, tls_.get(), provider.tls_server_name},
      max_connections_(max_connections) {}

UpstreamLease UpstreamPool::TakeIdle() {
  while (!idle_.empty()) {
    std::unique_ptr<UpstreamConnection> connection = std::move(idle_.back());
    idle_.pop_back();
    // Also catches bytes behind a complete answer, which would pass for the next caller's.
    if (connection->IsUsable()) return UpstreamLease(shared_from_this(), std::move(connection));
    --open_;
  }
  return {};
}

asio::awaitable<UpstreamLease> UpstreamPool::TakeNew(common::MonotonicTime deadline) {
  while (open_ >= max_connections_) {
    OneShot<bool> place;
    waiters_.push_back(&place);
    Deadline timer(loop_.context, [&place] { place.Deliver(false); });
    timer.Set(deadline);
    const bool has_place = co_await place.Wait();
    waiters_.remove(&place);
    if (!has_place) co_return UpstreamLease();
    if (UpstreamLease idle = TakeIdle()) co_return idle;
  }
  ++open_;
  co_return UpstreamLease(shared_from_this(), std::make_unique<UpstreamConnection>(loop_));
}

asio::awaitable<ConnectResult> UpstreamPool::Connect(UpstreamLease& lease,
                                                     common::MonotonicTime deadline) {
  return lease->Connect(resolver_, to_, deadline);
}

void UpstreamPool::CloseStale() {
  const common::MonotonicTime now = loop_.clock.Monotonic();
  const auto is_stale = [&](const std::unique_ptr<UpstreamConnection>& connection) {
    return now - connection->idle_since() > kMaxIdle || !connection->IsUsable();
  };
  open_ -= std::erase_if(idle_, is_stale);
}

void UpstreamPool::GiveBack(std::unique_ptr<UpstreamConnection> connection) {
  connection->MarkReused();
  connection->set_idle_since(loop_.clock.Monotonic());
  idle_.push_back(std::move(connection));
  WakeOne();
}

void UpstreamPool::GiveUpPlace() {
  --open_;
  WakeOne();
}

void UpstreamPool::WakeOne() {
  if (waiters_.empty()) return;
  OneShot<bool>* waiter = waiters_.front();
  waiters_.pop_front();
  waiter->Deliver(true);
}

}  // namespace gateway
