// TLS of a connection, a client's or to a provider: OpenSSL on the connection's own non-blocking
// socket, so that it is waited for, read and written like a plain one. Nothing here blocks.
// Not thread-safe: lives on one io_context's thread.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <span>
#include <vector>

namespace gateway {

class TlsSocket {
 public:
  enum class Role { kServer, kClient };
  enum class Step {
    kDone,
    kWaitToRead,   // again when the socket is readable
    kWaitToWrite,  // again when the socket is writable
    kSpeaksHttp,   // the client's first bytes are a request without TLS
    kFailed,       // why is OpenSSL's error, until it is called for anything else
  };

  // `context` is shared with all connections that began with it. `socket` must stay open as long as
  // this lives.
  TlsSocket(SSL_CTX* context, int socket, Role role);

  Step Handshake();

  // As a socket's read_some: what there is, would_block when there is nothing, eof after the
  // peer's close_notify.
  size_t ReadSome(std::span<char> into, boost::system::error_code& error);
  // Whether the last Handshake or ReadSome may have left bytes that the socket's readiness does not
  // tell.
  bool HasMore() const { return has_more_; }
  // Whether the last ReadSome, which had to answer the peer's TLS, waits for the socket to become
  // writable.
  bool IsReadWaitingToWrite() const { return is_read_waiting_to_write_; }

  // As a socket's write_some: less than all means that the socket takes no more now. Until it has
  // taken everything, no other bytes may be written. `scratch` holds a record for a moment.
  size_t WriteSome(const std::vector<boost::asio::const_buffer>& pieces, std::span<char> scratch,
                   boost::system::error_code& error);

  // Tells the peer that nothing follows.
  Step Shutdown();

  SSL* native_handle() const { return ssl_.get(); }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  Step StepOf(int result) const;

  std::unique_ptr<SSL, Free> ssl_;
  bool has_more_ = false;
  bool is_read_waiting_to_write_ = false;
  boost::system::error_code end_;  // what the next ReadSome has to say
};

// The whole handshake on `socket`, which is that of `tls`. Fails when the socket is closed
// meanwhile.
boost::asio::awaitable<TlsSocket::Step> CompleteHandshake(TlsSocket& tls,
                                                          boost::asio::ip::tcp::socket& socket);

}  // namespace gateway
