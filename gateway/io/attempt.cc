#include "gateway/io/attempt.h"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <utility>

#include "common/concat.h"
#include "common/unit_text.h"
#include "gateway/core/request_deadline.h"

namespace gateway {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;

// 100 and 103 are the ones in use; more than a few are an attack.
constexpr int kMaxInterimResponses = 8;
constexpr std::chrono::seconds kReleaseWait{1};

std::vector<asio::const_buffer> Pieces(const UpstreamRequest& request) {
  std::vector<asio::const_buffer> pieces;
  pieces.reserve(1 + request.body.size());
  pieces.push_back(asio::buffer(request.head));
  for (const std::string_view piece : request.body) {
    if (!piece.empty()) pieces.push_back(asio::buffer(piece));
  }
  return pieces;
}

}  // namespace

Attempt::Attempt(EventLoop& loop, std::shared_ptr<UpstreamPool> pool,
                 const ProviderConfig& provider, ProviderMetrics& metrics,
                 common::MonotonicTime client_deadline)
    : loop_(loop),
      pool_(std::move(pool)),
      provider_(provider),
      metrics_(metrics),
      client_deadline_(client_deadline),
      started_at_(loop.clock.Monotonic()) {}

asio::awaitable<std::optional<Failure>> Attempt::Begin(const UpstreamRequest& request) {
  for (bool may_reuse = true;; may_reuse = false) {
    std::optional<Failure> failure = co_await TakeConnection(may_reuse);
    if (failure) co_return failure;
    const bool was_reused = lease_->is_reused();
    const HeadResult result = co_await Transmit(request);
    if (result == HeadResult::kRead) co_return std::nullopt;
    if (is_cancelled_) co_return MakeFailure(FailureKind::kClientCancelled, "");
    if (result == HeadResult::kFailed) co_return failure_;
    if (!was_reused || !may_reuse || MayHaveBegun()) co_return Broken("before it answered");
    metrics_.stale_connections->Increment();
    lease_ = {};
  }
}

asio::awaitable<std::optional<Failure>> Attempt::TakeConnection(bool may_reuse) {
  if (may_reuse) lease_ = pool_->TakeIdle();
  if (lease_) co_return std::nullopt;
  lease_ = co_await pool_->TakeNew(ConnectDeadline());
  if (is_cancelled_) co_return MakeFailure(FailureKind::kClientCancelled, "");
  if (!lease_ && IsClientsTimeUp()) co_return DeadlineExceeded();
  if (!lease_) {
    co_return MakeOverloaded(
        "Every connection that this gateway may have to the provider is in use.", loop_.Chance());
  }
  if (lease_->is_reused()) co_return std::nullopt;
  // However long this gateway's own limit has taken, the provider has all of its time.
  const ConnectResult result = co_await pool_->Connect(lease_, ConnectDeadline());
  if (result == ConnectResult::kConnected) {
    metrics_.connections_opened->Increment();
    co_return std::nullopt;
  }
  if (is_cancelled_) co_return MakeFailure(FailureKind::kClientCancelled, "");
  if (result == ConnectResult::kTimedOut && IsClientsTimeUp()) co_return DeadlineExceeded();
  co_return MakeFailure(
      FailureKind::kUpstreamUnreachable,
      common::Concat("The provider could not be reached: ", Describe(result), "."));
}

asio::awaitable<Attempt::HeadResult> Attempt::Transmit(const UpstreamRequest& request) {
  parser_.emplace();
  unparsed_.clear();
  early_body_.clear();
  is_request_sent_ = false;
  has_any_byte_ = false;
  sent_at_ = loop_.clock.Monotonic();
  const bool may_read = co_await Send(request);
  if (!may_read) co_return HeadResult::kFailed;
  sent_at_ = loop_.clock.Monotonic();
  co_return co_await ReadHead();
}

// A provider may refuse a large request by its head, or when it has read enough. RFC 9112 section
// 9.5: then it is sent no more, and nobody waits for it to take the rest. After an early success it
// is.
asio::awaitable<bool> Attempt::Send(const UpstreamRequest& request) {
  std::vector<asio::const_buffer> pieces = Pieces(request);
  const common::MonotonicTime deadline = ReadDeadline();
  auto mode = UpstreamConnection::WhileWriting::kListen;
  bool is_refused = false;
  while (!pieces.empty() && !is_refused) {
    error_code error = co_await lease_->Write(pieces, mode, deadline);
    if (error && (is_cancelled_ || lease_->has_timed_out())) {
      failure_ = TimedOut();
      co_return false;
    }
    // After another error the provider may still have said why it would not read on.
    if (error || pieces.empty()) break;
    const std::string_view bytes = lease_->ReadReady(error);
    if (error == asio::error::would_block) continue;
    if (bytes.empty()) break;
    if (!Feed(bytes, early_body_)) co_return false;
    if (!parser_->is_header_done()) continue;
    is_refused = parser_->status() / 100 != 2;
    mode = UpstreamConnection::WhileWriting::kIgnore;
  }
  is_request_sent_ = pieces.empty();
  co_return true;
}

asio::awaitable<Attempt::HeadResult> Attempt::ReadHead() {
  while (!parser_->is_header_done()) {
    error_code error;
    const std::string_view bytes = co_await lease_->Read(error, ReadDeadline());
    if (is_cancelled_ || lease_->has_timed_out()) {
      failure_ = TimedOut();
      co_return HeadResult::kFailed;
    }
    if (bytes.empty()) {
      if (!has_any_byte_) co_return HeadResult::kClosedBeforeAnyByte;
      failure_ = Broken("within the head of its answer");
      co_return HeadResult::kFailed;
    }
    if (!Feed(bytes, early_body_)) co_return HeadResult::kFailed;
  }
  co_return HeadResult::kRead;
}

asio::awaitable<std::optional<Failure>> Attempt::ReadBody(std::string& into) {
  if (!early_body_.empty()) {
    into.append(early_body_);
    early_body_.clear();
    co_return std::nullopt;
  }
  const size_t before = into.size();
  while (into.size() == before && !parser_->is_done()) {
    error_code error;
    const std::string_view bytes = co_await lease_->Read(error, ReadDeadline());
    if (is_cancelled_) co_return MakeFailure(FailureKind::kClientCancelled, "");
    if (lease_->has_timed_out()) co_return TimedOut();
    // RFC 9112 section 9.6: who refuses a request without reading it all resets the connection.
    if (error && parser_->status() / 100 == 2) co_return Broken("within its answer");
    if (bytes.empty()) {
      boost::beast::error_code parse_error;
      parser_->put_eof(parse_error);
      if (parse_error) co_return Broken("within its answer");
      break;
    }
    if (!Feed(bytes, into)) co_return failure_;
  }
  co_return std::nullopt;
}

bool Attempt::Feed(std::string_view bytes, std::string& body) {
  has_any_byte_ = true;
  std::string joined;
  if (!unparsed_.empty()) {
    joined = std::exchange(unparsed_, std::string());
    joined.append(bytes);
    bytes = joined;
  }
  while (!bytes.empty() && !parser_->is_done()) {
    boost::beast::error_code error;
    const bool is_in_head = !parser_->is_header_done();
    const size_t used = parser_->Feed(bytes, body, error);
    bytes.remove_prefix(used);
    if (error == boost::beast::http::error::need_more) {
      if (bytes.size() <= ResponseParser::kMaxHeaderBytes) break;
      error = boost::beast::http::error::header_limit;
    }
    if (error) {
      failure_ = MakeFailure(
          is_in_head ? FailureKind::kUpstreamMalformed : FailureKind::kUpstreamInterrupted,
          common::Concat("The provider's answer is not valid HTTP: ", error.message(), "."));
      return false;
    }
    if (!parser_->is_done() || parser_->status() / 100 != 1) continue;
    // 101 ends HTTP on this connection, which nobody asked for.
    if (parser_->status() == 101 || ++interim_responses_ > kMaxInterimResponses) {
      failure_ = MakeFailure(FailureKind::kUpstreamMalformed,
                             "The provider sent an interim response instead of an answer.");
      return false;
    }
    parser_.emplace();
  }
  unparsed_.assign(bytes);
  return true;
}

void Attempt::NoteFirstOutput() {
  if (has_first_output_) return;
  has_first_output_ = true;
  const auto waited = loop_.clock.Monotonic() - sent_at_;
  time_to_first_byte_ = std::chrono::duration_cast<milliseconds>(waited);
  metrics_.time_to_first_byte->Observe(std::chrono::duration<double>(waited).count());
}

bool Attempt::NoteClientWait(std::chrono::nanoseconds waited) {
  client_wait_ += waited;
  return client_wait_ < provider_.timeouts.total;
}

void Attempt::ReleaseConnection() {
  if (!lease_ || is_cancelled_) return;
  const bool is_final = is_request_sent_ && parser_ && parser_->status() >= 200;
  if (is_final && parser_->is_done() && parser_->keep_alive() && unparsed_.empty()) {
    lease_.Release();
  } else {
    lease_ = {};
  }
}

asio::awaitable<void> Attempt::ReleaseLater(std::unique_ptr<Attempt> attempt) {
  const common::MonotonicTime deadline = attempt->loop_.clock.Monotonic() + kReleaseWait;
  std::string ignored;
  while (attempt->lease_ && !attempt->parser_->is_done()) {
    error_code error;
    const std::string_view bytes = co_await attempt->lease_->Read(error, deadline);
    if (error || bytes.empty() || !attempt->Feed(bytes, ignored)) co_return;
    ignored.clear();
  }
  attempt->ReleaseConnection();
}

void Attempt::Cancel() {
  is_cancelled_ = true;
  if (lease_) lease_->Close();
}

milliseconds Attempt::Elapsed() const {
  return std::chrono::duration_cast<milliseconds>(loop_.clock.Monotonic() - started_at_);
}

common::MonotonicTime Attempt::ConnectDeadline() const {
  return std::min(client_deadline_, loop_.clock.Monotonic() + provider_.timeouts.connect);
}

// That a connection was closed before the request is told within a round trip, and so sooner than a
// connection may take. What is closed later may have cost an answer.
bool Attempt::MayHaveBegun() const {
  return loop_.clock.Monotonic() - sent_at_ > provider_.timeouts.connect;
}

common::MonotonicTime Attempt::ReadDeadline() const {
  const common::MonotonicTime end = std::min(client_deadline_, End());
  if (!has_first_output_) return std::min(end, sent_at_ + provider_.timeouts.first_byte);
  return std::min(end, loop_.clock.Monotonic() + provider_.timeouts.idle);
}

common::MonotonicTime Attempt::End() const {
  return started_at_ + client_wait_ + provider_.timeouts.total;
}

Failure Attempt::TimedOut() const {
  if (is_cancelled_) return MakeFailure(FailureKind::kClientCancelled, "");
  const common::MonotonicTime now = loop_.clock.Monotonic();
  if (now >= client_deadline_) return DeadlineExceeded();
  const ProviderTimeouts& timeouts = provider_.timeouts;
  if (now >= End()) {
    return MakeFailure(FailureKind::kUpstreamTimeout,
                       common::Concat("The provider did not finish its answer within ",
                                      common::RenderDuration(timeouts.total), "."));
  }
  if (has_first_output_) {
    return MakeFailure(FailureKind::kUpstreamTimeout,
                       common::Concat("The provider went silent for ",
                                      common::RenderDuration(timeouts.idle), "."));
  }
  return MakeFailure(FailureKind::kUpstreamTimeout,
                     common::Concat("The provider did not begin its answer within ",
                                    common::RenderDuration(timeouts.first_byte), "."));
}

Failure Attempt::Broken(std::string_view during) const {
  const bool has_head = parser_ && parser_->got_some();
  return MakeFailure(
      has_head ? FailureKind::kUpstreamInterrupted : FailureKind::kUpstreamUnreachable,
      common::Concat("The provider closed the connection ", during, "."));
}

}  // namespace gateway
