// TLS of a client's connection: OpenSSL on the connection's own non-blocking socket, so that it is
// waited for and read like a plain one. Who waits is the connection; nothing here blocks.
// Not thread-safe: lives on one io_context's thread.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/buffer.hpp>
#include <boost/system/error_code.hpp>
#include <memory>
#include <span>
#include <vector>

namespace gateway {

class ClientTls {
 public:
  enum class Step {
    kDone,
    kWaitToRead,   // again when the socket is readable
    kWaitToWrite,  // again when the socket is writable
    kSpeaksHttp,   // the client's first bytes are a request without TLS
    kFailed,
  };

  // `context` is shared with all connections that began with it. `socket` must stay open as long as
  // this lives.
  ClientTls(SSL_CTX* context, int socket);

  Step Handshake();

  // As a socket's read_some: what there is, would_block when there is nothing, eof after the
  // client's close_notify.
  size_t ReadSome(std::span<char> into, boost::system::error_code& error);
  // Whether the last Handshake or ReadSome may have left bytes that the socket's readiness does not
  // tell.
  bool HasMore() const { return has_more_; }
  // Whether the last ReadSome, which had to answer the client's TLS, waits for the socket to become
  // writable.
  bool IsReadWaitingToWrite() const { return is_read_waiting_to_write_; }

  // As a socket's write_some: less than all means that the socket takes no more now. Until it has
  // taken everything, no other bytes may be written. `scratch` holds a record for a moment.
  size_t WriteSome(const std::vector<boost::asio::const_buffer>& pieces, std::span<char> scratch,
                   boost::system::error_code& error);

  // Tells the client that nothing follows.
  Step Shutdown();

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

}  // namespace gateway
