// One connection to a provider, plain or TLS, with one deadline over whatever it is doing.
// Not thread-safe: lives on one io_context's thread. Close may be called at any time; what is
// pending then ends with an error.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "gateway/io/connect_race.h"
#include "gateway/io/deadline.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/resolver.h"
#include "gateway/io/tls_socket.h"

namespace gateway {

struct ConnectTo {
  std::string host;
  uint16_t port = 0;
  boost::asio::ssl::context* tls = nullptr;  // null: plain; must outlive the connection
  std::string tls_server_name;               // for SNI and the certificate
};

enum class ConnectResult {
  kConnected,
  kNoAddress,
  kRefused,
  kSpeaksNoTls,
  kTlsTooOld,
  kCertificateExpired,
  kCertificateNotYetValid,
  kCertificateOfOtherName,
  kCertificateUntrusted,
  kTlsFailed,  // in another way
  kTimedOut,
  kCancelled,
};

// For people: "the connection was refused".
std::string_view Describe(ConnectResult result);

class UpstreamConnection {
 public:
  // `loop` must outlive the connection.
  explicit UpstreamConnection(EventLoop& loop);
  ~UpstreamConnection();
  UpstreamConnection(const UpstreamConnection&) = delete;
  UpstreamConnection& operator=(const UpstreamConnection&) = delete;

  // DNS, TCP and TLS with verification of the certificate, all before `deadline`.
  boost::asio::awaitable<ConnectResult> Connect(Resolver& resolver, const ConnectTo& to,
                                                common::MonotonicTime deadline);

  // Whether a provider may interrupt what is written to it.
  enum class WhileWriting { kListen, kIgnore };

  // Writes, and takes from `pieces` what is written. Ends when all is, or fails, or, for a
  // listener, when the provider may have said something before it has taken everything: see
  // ReadReady.
  boost::asio::awaitable<boost::system::error_code> Write(
      std::vector<boost::asio::const_buffer>& pieces, WhileWriting mode,
      common::MonotonicTime deadline);

  // Waits for bytes and reads what there is; valid until the caller waits for anything again.
  // Nothing without an error: the provider closed (for TLS: with close_notify or without; a body's
  // own framing tells whether it is complete).
  boost::asio::awaitable<std::string_view> Read(boost::system::error_code& error,
                                                common::MonotonicTime deadline);
  // As Read, but does not wait: would_block when there is nothing yet.
  std::string_view ReadReady(boost::system::error_code& error);

  // Whether an idle connection is still open and silent.
  bool IsUsable();
  // At once, also where the provider has not taken everything that was to be written.
  void Close();
  // Whether the last failure was the deadline's doing.
  bool has_timed_out() const { return has_timed_out_; }
  // Whether it has served a request before.
  bool is_reused() const { return is_reused_; }
  void MarkReused() { is_reused_ = true; }
  void set_idle_since(common::MonotonicTime now) { idle_since_ = now; }
  common::MonotonicTime idle_since() const { return idle_since_; }

 private:
  boost::asio::awaitable<ConnectResult> Handshake(const ConnectTo& to);
  boost::asio::awaitable<void> WaitToRead();
  boost::asio::awaitable<void> WaitToWrite(WhileWriting mode);
  size_t WriteSome(const std::vector<boost::asio::const_buffer>& pieces,
                   boost::system::error_code& error);
  ConnectResult Because(ConnectResult otherwise) const;

  EventLoop& loop_;
  boost::asio::ip::tcp::socket socket_;
  std::unique_ptr<TlsSocket> tls_;  // null: plain
  ConnectRace* race_ = nullptr;     // while it connects
  Deadline deadline_;
  bool has_timed_out_ = false;
  bool is_closed_ = false;
  bool is_reused_ = false;
  bool is_writing_ = false;  // not everything is written
  common::MonotonicTime idle_since_;
};

}  // namespace gateway
