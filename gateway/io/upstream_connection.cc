#include "gateway/io/upstream_connection.h"

#include <openssl/ssl.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <tuple>
#include <utility>

namespace gateway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kTlsRecordBytes = 16 << 10;  // RFC 8446 section 5.1
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

size_t TotalSize(const std::vector<asio::const_buffer>& pieces) {
  return asio::buffer_size(pieces);
}

// Drops the first `count` bytes.
void Consume(std::vector<asio::const_buffer>& pieces, size_t count) {
  auto piece = pieces.begin();
  while (piece != pieces.end() && count >= piece->size()) count -= (piece++)->size();
  pieces.erase(pieces.begin(), piece);
  if (!pieces.empty()) pieces.front() += count;
}

bool IsEndOfStream(const error_code& error) {
  // Servers that drop a TLS connection without close_notify are common; framing decides.
  return error == asio::error::eof || error == asio::ssl::error::stream_truncated;
}

}  // namespace

std::string_view Describe(ConnectResult result) {
  switch (result) {
    case ConnectResult::kConnected:
      return "connected";
    case ConnectResult::kNoAddress:
      return "its name could not be resolved";
    case ConnectResult::kRefused:
      return "the connection could not be established";
    case ConnectResult::kTlsFailed:
      return "the TLS handshake failed";
    case ConnectResult::kTimedOut:
      return "connecting took too long";
    case ConnectResult::kCancelled:
      return "the request was cancelled";
  }
  return "";
}

UpstreamConnection::UpstreamConnection(EventLoop& loop)
    : loop_(loop), socket_(loop.context), deadline_(loop.context, [this] {
        has_timed_out_ = true;
        Close();
      }) {}

UpstreamConnection::~UpstreamConnection() { Close(); }

asio::awaitable<ConnectResult> UpstreamConnection::Connect(Resolver& resolver, const ConnectTo& to,
                                                           common::MonotonicTime deadline) {
  deadline_.Set(deadline);
  const Resolver::Endpoints endpoints = co_await resolver.Resolve(to.host, to.port, deadline);
  if (is_closed_) co_return Because(ConnectResult::kCancelled);
  if (endpoints.empty()) co_return ConnectResult::kNoAddress;
  error_code error;
  for (const auto& endpoint : endpoints) {
    error_code ignored;
    if (socket_.is_open()) socket_.close(ignored);
    std::tie(error) = co_await socket_.async_connect(endpoint, kAwait);
    if (is_closed_) co_return Because(ConnectResult::kCancelled);
    if (!error) break;
  }
  if (error) co_return ConnectResult::kRefused;
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.non_blocking(true, ignored);
  if (to.tls == nullptr) {
    deadline_.Clear();
    co_return ConnectResult::kConnected;
  }
  co_return co_await Handshake(to);
}

asio::awaitable<ConnectResult> UpstreamConnection::Handshake(const ConnectTo& to) {
  tls_ = std::make_unique<asio::ssl::stream<asio::ip::tcp::socket&>>(socket_, *to.tls);
  tls_buffer_.resize(kTlsRecordBytes);
  error_code not_literal;
  asio::ip::make_address(to.tls_server_name, not_literal);
  // RFC 6066 section 3: SNI carries names only, no addresses.
  if (not_literal) SSL_set_tlsext_host_name(tls_->native_handle(), to.tls_server_name.c_str());
  error_code error;
  tls_->set_verify_callback(asio::ssl::host_name_verification(to.tls_server_name), error);
  if (error) co_return ConnectResult::kTlsFailed;
  std::tie(error) = co_await tls_->async_handshake(asio::ssl::stream_base::client, kAwait);
  if (is_closed_) co_return Because(ConnectResult::kCancelled);
  if (error) co_return ConnectResult::kTlsFailed;
  deadline_.Clear();
  co_return ConnectResult::kConnected;
}

asio::awaitable<error_code> UpstreamConnection::Write(std::vector<asio::const_buffer> pieces,
                                                      common::MonotonicTime deadline) {
  error_code error;
  if (!tls_) {
    const size_t written = socket_.write_some(pieces, error);
    if (!error && written == TotalSize(pieces)) co_return error;
    if (error && error != asio::error::would_block) co_return error;
    Consume(pieces, written);
  }
  deadline_.Set(deadline);
  size_t ignored = 0;
  if (tls_) {
    std::tie(error, ignored) = co_await asio::async_write(*tls_, pieces, kAwait);
  } else {
    std::tie(error, ignored) = co_await asio::async_write(socket_, pieces, kAwait);
  }
  deadline_.Clear();
  co_return error;
}

asio::awaitable<std::string_view> UpstreamConnection::Read(error_code& error,
                                                           common::MonotonicTime deadline) {
  deadline_.Set(deadline);
  std::string_view bytes;
  if (tls_) {
    bytes = co_await ReadTls(error);
  } else {
    bytes = co_await ReadPlain(error);
  }
  deadline_.Clear();
  if (is_closed_) error = asio::error::operation_aborted;
  if (IsEndOfStream(error)) error = {};
  co_return bytes;
}

// Waiting first and reading afterwards lets all connections of a loop share one buffer, so that a
// silent stream costs none.
asio::awaitable<std::string_view> UpstreamConnection::ReadPlain(error_code& error) {
  for (;;) {
    std::tie(error) = co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, kAwait);
    if (error) co_return std::string_view();
    const size_t count = socket_.read_some(asio::buffer(loop_.scratch), error);
    if (error == asio::error::would_block) continue;
    co_return std::string_view(loop_.scratch.data(), count);
  }
}

asio::awaitable<std::string_view> UpstreamConnection::ReadTls(error_code& error) {
  size_t count = 0;
  std::tie(error, count) = co_await tls_->async_read_some(asio::buffer(tls_buffer_), kAwait);
  co_return std::string_view(tls_buffer_.data(), count);
}

bool UpstreamConnection::IsUsable() {
  if (is_closed_ || (tls_ && SSL_has_pending(tls_->native_handle()) != 0)) return false;
  char byte;
  const ssize_t count = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void UpstreamConnection::Close() {
  is_closed_ = true;
  deadline_.Clear();
  error_code ignored;
  socket_.close(ignored);
}

ConnectResult UpstreamConnection::Because(ConnectResult otherwise) const {
  return has_timed_out_ ? ConnectResult::kTimedOut : otherwise;
}

}  // namespace gateway
