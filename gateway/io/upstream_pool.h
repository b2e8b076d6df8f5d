// The connections of one event loop to one provider: idle ones are reused, newest first, and the
// number of all is bounded. Not thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <list>
#include <memory>
#include <vector>

#include "gateway/config.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/one_shot.h"
#include "gateway/io/upstream_connection.h"

namespace gateway {

class UpstreamPool;

// Gives the connection's place back when it goes, and the connection itself when it was released.
class UpstreamLease {
 public:
  UpstreamLease() = default;
  UpstreamLease(std::shared_ptr<UpstreamPool> pool, std::unique_ptr<UpstreamConnection> connection);
  UpstreamLease(UpstreamLease&&) = default;
  UpstreamLease& operator=(UpstreamLease&& other);
  ~UpstreamLease();

  UpstreamConnection* operator->() const { return connection_.get(); }
  explicit operator bool() const { return connection_ != nullptr; }
  // The answer was read to its end and the provider keeps the connection: others may use it.
  void Release();

 private:
  std::shared_ptr<UpstreamPool> pool_;  // shared by leases, so that a reload cannot pull it away
  std::unique_ptr<UpstreamConnection> connection_;
};

class UpstreamPool : public std::enable_shared_from_this<UpstreamPool> {
 public:
  // Idle connections are closed after this; providers commonly close theirs after 60 s and more.
  static constexpr std::chrono::seconds kMaxIdle{55};

  // `tls` is null for a plain provider.
  UpstreamPool(EventLoop& loop, Resolver& resolver, const ProviderConfig& provider,
               std::shared_ptr<boost::asio::ssl::context> tls, size_t max_connections);

  // An idle connection, or an empty lease.
  UpstreamLease TakeIdle();
  // A connection that still has to connect; an empty lease when the bound is reached and no place
  // becomes free before `deadline`.
  boost::asio::awaitable<UpstreamLease> TakeNew(common::MonotonicTime deadline);
  // Connects `lease` to the provider.
  boost::asio::awaitable<ConnectResult> Connect(UpstreamLease& lease,
                                                common::MonotonicTime deadline);

  size_t open_connections() const { return open_; }
  size_t idle_connections() const { return idle_.size(); }
  // Closes what is idle for too long or was closed by the provider. To be called every few seconds.
  void CloseStale();

 private:
  friend class UpstreamLease;
  void GiveBack(std::unique_ptr<UpstreamConnection> connection);
  void GiveUpPlace();
  void WakeOne();

  EventLoop& loop_;
  Resolver& resolver_;
  std::shared_ptr<boost::asio::ssl::context> tls_;  // shared by the pools of all threads
  ConnectTo to_;
  size_t max_connections_;
  size_t open_ = 0;
  std::vector<std::unique_ptr<UpstreamConnection>> idle_;
  std::list<OneShot<bool>*> waiters_;
};

}  // namespace gateway
