#include "gateway/io/client_connection.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>
#include <utility>

namespace gateway {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kLingerTime{3};
constexpr size_t kLingerBytes = 128 << 20;

}  // namespace

ClientConnection::ClientConnection(EventLoop& loop, tcp::socket socket,
                                   std::chrono::milliseconds write_timeout)
    : loop_(loop),
      socket_(std::move(socket)),
      write_timeout_(write_timeout),
      deadline_(loop.context, [this] {
        has_timed_out_ = true;
        if (readable_.HasWaiter()) {
          readable_.Deliver(false);
        } else {
          Close();
        }
      }) {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(tcp::no_delay(true), ignored);
}

asio::awaitable<HandshakeResult> ClientConnection::StartTls(asio::ssl::context& context,
                                                            common::MonotonicTime deadline) {
  tls_ = std::make_unique<TlsSocket>(context.native_handle(), socket_.native_handle(),
                                     TlsSocket::Role::kServer);
  has_timed_out_ = false;
  deadline_.Set(deadline);
  const TlsSocket::Step step = co_await CompleteHandshake(*tls_, socket_);
  deadline_.Clear();
  if (step == TlsSocket::Step::kDone) co_return HandshakeResult::kDone;
  if (step == TlsSocket::Step::kSpeaksHttp) {
    tls_ = nullptr;
    co_return HandshakeResult::kSpokeHttp;
  }
  Close();
  co_return has_timed_out_ ? HandshakeResult::kTimedOut : HandshakeResult::kFailed;
}

void ClientConnection::Consume(size_t count) {
  consumed_ += count;
  if (consumed_ < input_.size()) return;
  consumed_ = 0;
  // An idle connection keeps no buffer.
  if (input_.capacity() > 4096) {
    input_ = std::string();
  } else {
    input_.clear();
  }
}

bool ClientConnection::HasUnread() {
  char byte;
  return ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

asio::awaitable<ClientConnection::ReadResult> ClientConnection::ReadMore(
    common::MonotonicTime deadline) {
  const size_t before = input().size();
  has_timed_out_ = false;
  while (!is_lost_) {
    if (!is_waiting_) StartWait();
    deadline_.Set(deadline);
    co_await readable_.Wait();
    deadline_.Clear();
    if (has_timed_out_) co_return ReadResult::kTimedOut;
    Pull();
    if (input().size() > before) co_return ReadResult::kData;
  }
  co_return ReadResult::kClosed;
}

void ClientConnection::Watch(absl::AnyInvocable<void()> on_lost) {
  on_lost_ = std::move(on_lost);
  if (!is_waiting_ && !is_lost_ && input().size() < kMaxAheadBytes) StartWait();
}

asio::awaitable<bool> ClientConnection::Write(std::vector<asio::const_buffer> pieces) {
  size_t left = asio::buffer_size(pieces);
  has_timed_out_ = false;
  while (!is_lost_) {
    error_code error;
    size_t written = WriteSome(pieces, error);
    if (error && error != asio::error::would_block) break;
    if (error) written = 0;
    left -= written;
    if (left == 0) co_return true;
    while (written >= pieces.front().size()) {
      written -= pieces.front().size();
      pieces.erase(pieces.begin());
    }
    pieces.front() += written;
    deadline_.Set(loop_.clock.Monotonic() + write_timeout_);
    const bool is_ready = co_await WaitUntil(tcp::socket::wait_write);
    deadline_.Clear();
    if (!is_ready) break;
  }
  Lose();
  co_return false;
}

asio::awaitable<void> ClientConnection::LingeringClose() {
  if (tls_) co_await EndTls();
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
  const common::MonotonicTime deadline = loop_.clock.Monotonic() + kLingerTime;
  size_t seen = 0;
  while (seen < kLingerBytes) {
    seen += input().size();
    Consume(input().size());
    const ReadResult result = co_await ReadMore(deadline);
    if (result != ReadResult::kData) break;
  }
  Close();
}

// What the client sends from now on is of no interest to anybody, and so it is not decrypted.
asio::awaitable<void> ClientConnection::EndTls() {
  deadline_.Set(loop_.clock.Monotonic() + kLingerTime);
  bool is_ready = true;
  while (is_ready && !is_lost_ && tls_->Shutdown() == TlsSocket::Step::kWaitToWrite) {
    is_ready = co_await WaitUntil(tcp::socket::wait_write);
  }
  deadline_.Clear();
  tls_ = nullptr;
}

void ClientConnection::Close() {
  if (tls_ && socket_.is_open()) tls_->Shutdown();
  error_code ignored;
  socket_.close(ignored);
  Lose();
}

void ClientConnection::StartWait() {
  is_waiting_ = true;
  auto on_ready = [self = shared_from_this()](error_code error) {
    self->is_waiting_ = false;
    self->OnReadable(error);
  };
  if (tls_ && tls_->HasMore()) {
    asio::post(loop_.context, [on_ready = std::move(on_ready)] { on_ready(error_code()); });
  } else if (tls_ && tls_->IsReadWaitingToWrite()) {
    socket_.async_wait(tcp::socket::wait_write, std::move(on_ready));
  } else {
    socket_.async_wait(tcp::socket::wait_read, std::move(on_ready));
  }
}

void ClientConnection::OnReadable(error_code error) {
  if (error) is_lost_ = true;
  if (readable_.HasWaiter()) {
    readable_.Deliver(true);
    return;
  }
  if (!is_lost_) Pull();
  if (is_lost_) {
    Lose();
  } else if (on_lost_ && input().size() < kMaxAheadBytes) {
    StartWait();
  }
}

void ClientConnection::Pull() {
  if (is_lost_) return;
  error_code error;
  const size_t count = ReadSome(error);
  if (error == asio::error::would_block) return;
  if (error) {
    is_lost_ = true;
    return;
  }
  // What is left is part of a line; a long body must not pile up in front of it.
  input_.erase(0, std::exchange(consumed_, 0));
  input_.append(loop_.scratch.data(), count);
}

asio::awaitable<bool> ClientConnection::WaitUntil(tcp::socket::wait_type ready) {
  error_code error;
  std::tie(error) = co_await socket_.async_wait(ready, kAwait);
  co_return !error;
}

size_t ClientConnection::ReadSome(error_code& error) {
  if (tls_) return tls_->ReadSome(loop_.scratch, error);
  return socket_.read_some(asio::buffer(loop_.scratch), error);
}

size_t ClientConnection::WriteSome(const std::vector<asio::const_buffer>& pieces,
                                   error_code& error) {
  if (tls_) return tls_->WriteSome(pieces, loop_.record, error);
  return socket_.write_some(pieces, error);
}

void ClientConnection::Lose() {
  is_lost_ = true;
  absl::AnyInvocable<void()> on_lost = std::exchange(on_lost_, nullptr);
  if (on_lost) on_lost();
}

}  // namespace gateway
