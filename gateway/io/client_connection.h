// A client's connection, plain or TLS: bytes in, bytes out, and the news that the client has gone
// away, which may come while an answer is being made. Bounded: a client that sends ahead is read no
// further than kMaxAheadBytes, one that takes nothing is dropped after the write timeout. Not
// thread-safe: lives on one io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "gateway/io/deadline.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/metrics.h"
#include "gateway/io/one_shot.h"
#include "gateway/io/tls_socket.h"

namespace gateway {

// Pieces of one write, in order. A function, because GCC 12 cannot have a braced list within an
// expression that is awaited.
template <typename... Texts>
std::vector<boost::asio::const_buffer> Gather(const Texts&... texts) {
  return {boost::asio::const_buffer(std::data(texts), std::size(texts))...};
}

class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  static constexpr size_t kMaxAheadBytes = 64 << 10;

  enum class ReadResult { kData, kClosed, kTimedOut };

  // `loop` must outlive the connection.
  ClientConnection(EventLoop& loop, boost::asio::ip::tcp::socket socket,
                   std::chrono::milliseconds write_timeout);

  // First of all, for a client of HTTPS. After kSpokeHttp the connection is a plain one, whose
  // first bytes are lost; after another failure it is closed.
  boost::asio::awaitable<HandshakeResult> StartTls(boost::asio::ssl::context& context,
                                                   common::MonotonicTime deadline);

  // Bytes received and not yet consumed.
  std::string_view input() const { return std::string_view(input_).substr(consumed_); }
  void Consume(size_t count);

  // Whether the client has sent something that nobody has read yet.
  bool HasUnread();
  // Waits for more input.
  boost::asio::awaitable<ReadResult> ReadMore(common::MonotonicTime deadline);

  // From now on `on_lost` is called once if the client goes away. Ends with Unwatch.
  void Watch(absl::AnyInvocable<void()> on_lost);
  void Unwatch() { on_lost_ = nullptr; }

  // Writes everything; false when the client is gone or takes nothing any more.
  boost::asio::awaitable<bool> Write(std::vector<boost::asio::const_buffer> pieces);

  // Ends our side and reads on for a moment, so that the last answer is not lost to a reset that
  // unread input would cause (RFC 9112 section 9.6).
  boost::asio::awaitable<void> LingeringClose();

  // Pending reads and writes end; the client sees the end of the connection.
  void Close();

 private:
  boost::asio::awaitable<void> EndTls();
  boost::asio::awaitable<bool> WaitUntil(boost::asio::ip::tcp::socket::wait_type ready);
  size_t ReadSome(boost::system::error_code& error);
  size_t WriteSome(const std::vector<boost::asio::const_buffer>& pieces,
                   boost::system::error_code& error);
  void StartWait();
  void OnReadable(boost::system::error_code error);
  void Pull();
  void Lose();

  EventLoop& loop_;
  boost::asio::ip::tcp::socket socket_;
  std::unique_ptr<TlsSocket> tls_;  // null: plain
  std::chrono::milliseconds write_timeout_;
  Deadline deadline_;
  std::string input_;
  size_t consumed_ = 0;
  bool is_waiting_ = false;  // for the socket to become readable
  bool is_lost_ = false;
  bool has_timed_out_ = false;
  OneShot<bool> readable_;
  absl::AnyInvocable<void()> on_lost_;
};

}  // namespace gateway
