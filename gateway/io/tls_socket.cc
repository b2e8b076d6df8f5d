#include "gateway/io/tls_socket.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <cstring>
#include <tuple>
#include <utility>

#include "gateway/io/event_loop.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kRecordBytes = 16 << 10;  // RFC 8446 section 5.1

// The next record's bytes: of one piece as they are, of several as a copy in `scratch`.
std::span<const char> NextRecord(const std::vector<asio::const_buffer>& pieces, size_t skip,
                                 std::span<char> scratch) {
  size_t filled = 0;
  for (const asio::const_buffer& piece : pieces) {
    if (skip >= piece.size()) {
      skip -= piece.size();
      continue;
    }
    const char* data = static_cast<const char*>(piece.data()) + skip;
    const size_t size = std::min(piece.size() - std::exchange(skip, 0), kRecordBytes - filled);
    if (filled == 0 && (size == kRecordBytes || &piece == &pieces.back())) return {data, size};
    std::memcpy(scratch.data() + filled, data, size);
    filled += size;
    if (filled == kRecordBytes) break;
  }
  return scratch.first(filled);
}

}  // namespace

TlsSocket::TlsSocket(SSL_CTX* context, int socket, Role role) : ssl_(SSL_new(context)) {
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_set_fd(ssl_.get(), socket);
  if (role == Role::kServer) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
}

TlsSocket::Step TlsSocket::Handshake() {
  ERR_clear_error();
  const Step step = StepOf(SSL_do_handshake(ssl_.get()));
  // The peer's last flight may have come together with its first words.
  has_more_ = step == Step::kDone && SSL_has_pending(ssl_.get()) == 1;
  return step;
}

size_t TlsSocket::ReadSome(std::span<char> into, error_code& error) {
  error = std::exchange(end_, error_code());
  has_more_ = false;
  is_read_waiting_to_write_ = false;
  size_t count = 0;
  while (!error && count < into.size() && (count == 0 || SSL_has_pending(ssl_.get()) == 1)) {
    ERR_clear_error();
    size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + count, into.size() - count, &got);
    count += got;
    if (result == 1) continue;
    const bool is_closed = SSL_get_error(ssl_.get(), result) == SSL_ERROR_ZERO_RETURN;
    const Step step = StepOf(result);
    is_read_waiting_to_write_ = step == Step::kWaitToWrite;
    if (is_closed) {
      error = asio::error::eof;
    } else if (step == Step::kFailed) {
      error = asio::error::connection_reset;
    } else {
      error = asio::error::would_block;
    }
  }
  if (count == 0) return 0;
  if (error && error != asio::error::would_block) end_ = error;
  has_more_ = end_ || (!error && SSL_has_pending(ssl_.get()) == 1);
  error = {};
  return count;
}

size_t TlsSocket::WriteSome(const std::vector<asio::const_buffer>& pieces, std::span<char> scratch,
                            error_code& error) {
  const size_t total = asio::buffer_size(pieces);
  size_t written = 0;
  error = {};
  while (written < total) {
    const std::span<const char> record = NextRecord(pieces, written, scratch);
    ERR_clear_error();
    size_t taken = 0;
    const int result = SSL_write_ex(ssl_.get(), record.data(), record.size(), &taken);
    written += taken;
    if (result == 1) continue;
    // Without renegotiation a write never waits for the peer's bytes.
    if (StepOf(result) != Step::kWaitToWrite) error = asio::error::connection_reset;
    break;
  }
  return written;
}

TlsSocket::Step TlsSocket::Shutdown() {
  if (SSL_is_init_finished(ssl_.get()) != 1) return Step::kDone;
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  return result < 0 ? StepOf(result) : Step::kDone;
}

TlsSocket::Step TlsSocket::StepOf(int result) const {
  if (result == 1) return Step::kDone;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return Step::kWaitToRead;
    case SSL_ERROR_WANT_WRITE:
      return Step::kWaitToWrite;
    default:
      break;
  }
  const unsigned long why = ERR_peek_error();
  const bool speaks_http =
      ERR_GET_LIB(why) == ERR_LIB_SSL && ERR_GET_REASON(why) == SSL_R_HTTP_REQUEST;
  return speaks_http ? Step::kSpeaksHttp : Step::kFailed;
}

asio::awaitable<TlsSocket::Step> CompleteHandshake(TlsSocket& tls, tcp::socket& socket) {
  error_code error;
  while (!error && socket.is_open()) {
    const TlsSocket::Step step = tls.Handshake();
    if (step == TlsSocket::Step::kWaitToRead) {
      std::tie(error) = co_await socket.async_wait(tcp::socket::wait_read, kAwait);
    } else if (step == TlsSocket::Step::kWaitToWrite) {
      std::tie(error) = co_await socket.async_wait(tcp::socket::wait_write, kAwait);
    } else {
      co_return step;
    }
  }
  co_return TlsSocket::Step::kFailed;
}

}  // namespace gateway
