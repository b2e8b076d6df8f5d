// Host names to addresses, for one event loop. getaddrinfo has no deadline of its own, so callers
// wait here with theirs, share one look-up, and keep using the last answer while a look-up fails or
// hangs. Not thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <list>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/clock.h"
#include "gateway/io/one_shot.h"

namespace gateway {

class Resolver {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  // Answers are fresh for kFresh, and better than nothing for kUsable.
  static constexpr std::chrono::seconds kFresh{30};
  static constexpr std::chrono::minutes kUsable{10};

  Resolver(boost::asio::io_context& context, const common::Clock& clock);

  // The addresses of `host`, a name or a literal; empty when it has none or `deadline` has come.
  boost::asio::awaitable<Endpoints> Resolve(std::string host, uint16_t port,
                                            common::MonotonicTime deadline);

 private:
  struct Name {
    std::vector<boost::asio::ip::address> addresses;
    common::MonotonicTime looked_up_at;
    bool is_looking_up = false;
    std::list<OneShot<bool>*> waiters;
  };

  void StartLookup(const std::string& host);
  boost::asio::awaitable<void> WaitForLookup(const std::string& host,
                                             common::MonotonicTime deadline);

  boost::asio::io_context& context_;
  const common::Clock& clock_;
  boost::asio::ip::tcp::resolver resolver_;
  absl::flat_hash_map<std::string, Name> names_;  // as many as there are configured hosts
};

}  // namespace gateway
