// A TCP connection to a host with several addresses, by the rules of RFC 8305 (happy eyeballs): the
// families take turns, and an address that does not answer soon is not waited for before the next
// one is tried. Else one address that swallows packets would cost every request the whole time to
// connect. Not thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <vector>

namespace gateway {

class ConnectRace {
 public:
  using Endpoints = std::vector<boost::asio::ip::tcp::endpoint>;

  // RFC 8305 section 8, "Connection Attempt Delay".
  static constexpr std::chrono::milliseconds kNextAfter{250};

  explicit ConnectRace(boost::asio::io_context& context);
  ~ConnectRace();
  ConnectRace(const ConnectRace&) = delete;
  ConnectRace& operator=(const ConnectRace&) = delete;

  // Tries `endpoints`, of which there must be some, in this order but for the families. The first
  // connection goes to `winner`. Else: why the last attempt has failed, or operation_aborted.
  // Once only; it has no deadline of its own.
  boost::asio::awaitable<boost::system::error_code> Run(const Endpoints& endpoints,
                                                        boost::asio::ip::tcp::socket& winner);
  // Ends Run a little later.
  void Cancel();

 private:
  struct State;

  std::shared_ptr<State> state_;  // shared with the attempts under way
};

// The families take turns; the first one begins (RFC 8305 section 4).
ConnectRace::Endpoints AlternateFamilies(const ConnectRace::Endpoints& endpoints);

}  // namespace gateway
