#include "gateway/io/upstream_connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>
#include <utility>

namespace gateway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

using asio::ip::tcp;

// Drops the first `count` bytes.
void Consume(std::vector<asio::const_buffer>& pieces, size_t count) {
  auto piece = pieces.begin();
  while (piece != pieces.end() && count >= piece->size()) count -= (piece++)->size();
  pieces.erase(pieces.begin(), piece);
  if (!pieces.empty()) pieces.front() += count;
}

// Whom the certificate must be for. RFC 6066 section 3: SNI carries names only, no addresses.
void ExpectServer(SSL* ssl, const std::string& name) {
  error_code not_literal;
  asio::ip::make_address(name, not_literal);
  if (!not_literal) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
    return;
  }
  SSL_set_tlsext_host_name(ssl, name.c_str());
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  SSL_set1_host(ssl, name.c_str());
}

ConnectResult WhyCertificateIsBad(long verify_result) {
  switch (verify_result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ConnectResult::kCertificateExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ConnectResult::kCertificateNotYetValid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return ConnectResult::kCertificateOfOtherName;
    default:
      return ConnectResult::kCertificateUntrusted;
  }
}

ConnectResult WhyHandshakeFailed(SSL* ssl) {
  const long verify_result = SSL_get_verify_result(ssl);
  if (verify_result != X509_V_OK) return WhyCertificateIsBad(verify_result);
  switch (ERR_GET_REASON(ERR_peek_error())) {
    case SSL_R_WRONG_VERSION_NUMBER:
      return ConnectResult::kSpeaksNoTls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return ConnectResult::kTlsTooOld;
    default:
      return ConnectResult::kTlsFailed;
  }
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
    case ConnectResult::kSpeaksNoTls:
      return "it does not speak TLS";
    case ConnectResult::kTlsTooOld:
      return "it speaks no TLS 1.2 or newer";
    case ConnectResult::kCertificateExpired:
      return "its certificate has expired";
    case ConnectResult::kCertificateNotYetValid:
      return "its certificate is not valid yet";
    case ConnectResult::kCertificateOfOtherName:
      return "its certificate is for another name";
    case ConnectResult::kCertificateUntrusted:
      return "its certificate comes from no trusted authority";
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
  if (endpoints.empty()) {
    const bool is_late = loop_.clock.Monotonic() >= deadline;
    co_return is_late ? ConnectResult::kTimedOut : ConnectResult::kNoAddress;
  }
  ConnectRace race(loop_.context);
  race_ = &race;
  const error_code error = co_await race.Run(endpoints, socket_);
  race_ = nullptr;
  if (is_closed_) co_return Because(ConnectResult::kCancelled);
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
  tls_ = std::make_unique<TlsSocket>(to.tls->native_handle(), socket_.native_handle(),
                                     TlsSocket::Role::kClient);
  ExpectServer(tls_->native_handle(), to.tls_server_name);
  const TlsSocket::Step step = co_await CompleteHandshake(*tls_, socket_);
  if (is_closed_) co_return Because(ConnectResult::kCancelled);
  if (step != TlsSocket::Step::kDone) co_return WhyHandshakeFailed(tls_->native_handle());
  deadline_.Clear();
  co_return ConnectResult::kConnected;
}

asio::awaitable<error_code> UpstreamConnection::Write(std::vector<asio::const_buffer>& pieces,
                                                      WhileWriting mode,
                                                      common::MonotonicTime deadline) {
  error_code error;
  is_writing_ = true;
  for (bool is_first = true;; is_first = false) {
    const size_t written = WriteSome(pieces, error);
    if (error && error != asio::error::would_block) break;
    Consume(pieces, written);
    error = {};
    is_writing_ = !pieces.empty();
    if (!is_writing_) break;
    // What is woken and can write nothing was woken by the provider.
    if (written == 0 && !is_first && mode == WhileWriting::kListen) break;
    deadline_.Set(deadline);
    co_await WaitToWrite(mode);
    deadline_.Clear();
  }
  co_return error;
}

asio::awaitable<std::string_view> UpstreamConnection::Read(error_code& error,
                                                           common::MonotonicTime deadline) {
  std::string_view bytes;
  do {
    deadline_.Set(deadline);
    co_await WaitToRead();
    deadline_.Clear();
    bytes = ReadReady(error);
  } while (error == asio::error::would_block);
  co_return bytes;
}

// Waiting first and reading afterwards lets all connections of a loop share one buffer, so that a
// silent stream costs none.
std::string_view UpstreamConnection::ReadReady(error_code& error) {
  error = {};
  size_t count = 0;
  if (is_closed_) {
    error = asio::error::operation_aborted;
  } else if (tls_) {
    count = tls_->ReadSome(loop_.scratch, error);
  } else {
    count = socket_.read_some(asio::buffer(loop_.scratch), error);
  }
  if (error == asio::error::eof) error = {};
  return std::string_view(loop_.scratch.data(), count);
}

asio::awaitable<void> UpstreamConnection::WaitToRead() {
  if (is_closed_) co_return;
  if (tls_ && tls_->HasMore()) {
    // Others, and the deadline, have their turn nevertheless.
    co_await asio::post(loop_.context, asio::use_awaitable);
    co_return;
  }
  const bool has_to_write = tls_ && tls_->IsReadWaitingToWrite();
  co_await socket_.async_wait(has_to_write ? tcp::socket::wait_write : tcp::socket::wait_read,
                              kAwait);
}

asio::awaitable<void> UpstreamConnection::WaitToWrite(WhileWriting mode) {
  if (is_closed_) co_return;
  if (mode == WhileWriting::kIgnore) {
    co_await socket_.async_wait(tcp::socket::wait_write, kAwait);
    co_return;
  }
  co_await asio::experimental::make_parallel_group(
      socket_.async_wait(tcp::socket::wait_write, asio::deferred),
      socket_.async_wait(tcp::socket::wait_read, asio::deferred))
      .async_wait(asio::experimental::wait_for_one(), kAwait);
}

size_t UpstreamConnection::WriteSome(const std::vector<asio::const_buffer>& pieces,
                                     error_code& error) {
  error = {};
  if (is_closed_) {
    error = asio::error::operation_aborted;
    return 0;
  }
  if (tls_) return tls_->WriteSome(pieces, loop_.record, error);
  return socket_.write_some(pieces, error);
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
  if (race_ != nullptr) race_->Cancel();
  error_code ignored;
  // Else the kernel would keep the rest for a provider that does not read it.
  if (is_writing_) socket_.set_option(tcp::socket::linger(true, 0), ignored);
  socket_.close(ignored);
}

ConnectResult UpstreamConnection::Because(ConnectResult otherwise) const {
  return has_timed_out_ ? ConnectResult::kTimedOut : otherwise;
}

}  // namespace gateway
