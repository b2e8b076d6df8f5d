// One try of one target: takes a connection, sends the request, reads the answer. Says what went
// wrong on the wire; what the answer means is the dialect's to say. Not thread-safe: lives on one
// io_context's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <optional>
#include <string>

#include "gateway/config.h"
#include "gateway/core/outcome.h"
#include "gateway/dialects/dialect.h"
#include "gateway/io/event_loop.h"
#include "gateway/io/http_parser.h"
#include "gateway/io/metrics.h"
#include "gateway/io/upstream_pool.h"

namespace gateway {

class Attempt {
 public:
  // References must outlive the attempt. After `client_deadline` whatever is under way fails with
  // kDeadlineExceeded.
  Attempt(EventLoop& loop, std::shared_ptr<UpstreamPool> pool, const ProviderConfig& provider,
          ProviderMetrics& metrics, common::MonotonicTime client_deadline);

  // Sends `request` and reads until the head of the answer is there. A reused connection that turns
  // out to be closed at once, before any byte, is replaced once: the provider cannot have begun
  // with the request. A provider that refuses before it has read the whole request is sent no more
  // of it.
  boost::asio::awaitable<std::optional<Failure>> Begin(const UpstreamRequest& request);

  // After Begin. The pieces of the body that came with the head, then those that come; appends to
  // `into` until something was appended or the body is complete.
  boost::asio::awaitable<std::optional<Failure>> ReadBody(std::string& into);

  // Whether a head was read: status and headers mean something.
  bool has_answer() const { return parser_ && parser_->is_header_done(); }
  int status() const { return parser_->status(); }
  const Headers& headers() const { return parser_->headers(); }
  bool IsBodyComplete() const { return parser_->is_done() && early_body_.empty(); }
  // The provider has proved that it is answering: from now on the idle timeout holds.
  void NoteFirstOutput();
  // The client has kept the provider waiting for so long by not taking what was there. None of it
  // counts against the provider's total timeout. False: for longer than that very timeout, and so
  // for too long.
  bool NoteClientWait(std::chrono::nanoseconds waited);

  // The connection goes back to the pool if the answer was read whole and the provider keeps it.
  void ReleaseConnection();
  // As above, but reads the rest of a body that is all but complete, for a moment, in the
  // background.
  static boost::asio::awaitable<void> ReleaseLater(std::unique_ptr<Attempt> attempt);

  // What is pending ends with a failure at once.
  void Cancel();

  std::chrono::milliseconds Elapsed() const;
  // From the request sent to the first output; 0 before.
  std::chrono::milliseconds time_to_first_byte() const { return time_to_first_byte_; }
  const ProviderConfig& provider() const { return provider_; }
  ProviderMetrics& metrics() { return metrics_; }
  common::MonotonicTime started_at() const { return started_at_; }

 private:
  enum class HeadResult { kRead, kClosedBeforeAnyByte, kFailed };

  boost::asio::awaitable<std::optional<Failure>> TakeConnection(bool may_reuse);
  boost::asio::awaitable<HeadResult> Transmit(const UpstreamRequest& request);
  // False on a failure, told in failure_.
  boost::asio::awaitable<bool> Send(const UpstreamRequest& request);
  boost::asio::awaitable<HeadResult> ReadHead();
  // Feeds what has come; false on a malformed message, told in failure_.
  bool Feed(std::string_view bytes, std::string& body);
  Failure TimedOut() const;
  Failure Broken(std::string_view during) const;
  // Of a connect that begins now, or of a wait for a place to do so.
  common::MonotonicTime ConnectDeadline() const;
  // Whether a provider that has closed a reused connection may have begun with the request.
  bool MayHaveBegun() const;
  common::MonotonicTime ReadDeadline() const;
  // When its total timeout has passed.
  common::MonotonicTime End() const;
  bool IsClientsTimeUp() const { return loop_.clock.Monotonic() >= client_deadline_; }

  EventLoop& loop_;
  std::shared_ptr<UpstreamPool> pool_;  // shared with its leases
  const ProviderConfig& provider_;
  ProviderMetrics& metrics_;
  common::MonotonicTime client_deadline_;
  UpstreamLease lease_;
  std::optional<ResponseParser> parser_;
  std::string unparsed_;    // part of a line
  std::string early_body_;  // body bytes that came with the head
  Failure failure_;
  common::MonotonicTime started_at_;
  common::MonotonicTime sent_at_;
  std::chrono::milliseconds time_to_first_byte_{0};
  std::chrono::nanoseconds client_wait_{0};
  bool is_request_sent_ = false;  // all of it, on this connection
  bool has_any_byte_ = false;     // of an answer, on this connection
  bool has_first_output_ = false;
  bool is_cancelled_ = false;
  int interim_responses_ = 0;
};

}  // namespace gateway
