// The admin port of both programs: /metrics, /healthz, /readyz over HTTP/1.1, on one thread of its
// own with plain sockets, one answer per connection; and what a program adds: pages, and streams of
// events that go on. Bounded by AdminLimits; a slow client never delays another, and streams never
// take the place of a client that wants one answer.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"

namespace common {

struct AdminAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
  std::string headers = {};  // further lines, each with its CRLF
};

// What one client of a stream of server-sent events is told. Used by the server's thread.
class AdminEvents {
 public:
  virtual ~AdminEvents() = default;
  // The newest event, framed ("data: ...\n\n"); null: there is nothing new. Asked at the beginning
  // and then once in AdminLimits::event_interval, but only when all of before has been sent: a slow
  // client misses intermediate states. Clients share the text until it is sent.
  virtual std::shared_ptr<const std::string> Next() = 0;
};

struct AdminPages {
  // The Prometheus text exposition, content type "text/plain; version=0.0.4; charset=utf-8".
  std::function<std::string()> render_metrics;
  // Whether the program takes new work: valid configuration and not draining.
  std::function<bool()> is_ready;
  // A page of the program's own by its path and query; nothing: it has no such page.
  std::function<std::optional<AdminAnswer>(std::string_view target)> find_page = {};
  // The same for streams of events; null: none.
  std::function<std::unique_ptr<AdminEvents>(std::string_view target)> open_events = {};
};

struct AdminLimits {
  // Those that wait for their one answer. When one more arrives, the oldest is closed.
  size_t connections = 64;
  // Streams of events; who wants one more gets 503.
  size_t streams = 32;
  // Request line and headers; a longer request gets 431.
  size_t request_bytes = 8 * 1024;
  // From accept to the last byte of the answer; then the connection is closed.
  std::chrono::milliseconds answer_within = std::chrono::seconds(5);
  // How often the streams look for an event.
  std::chrono::milliseconds event_interval{500};
  // A stream that is silent for this long is sent a comment, so that a client that is gone shows.
  std::chrono::milliseconds heartbeat = std::chrono::seconds(5);
  // From the first to the last byte of one event; then the stream is closed.
  std::chrono::milliseconds event_within = std::chrono::seconds(30);
};

// Pure: what to answer to one request line. /healthz is always 200 "ok", /readyz 200 "ready" or 503
// "draining", others the program's own, else 404; methods other than GET and HEAD 405. `target` is
// a path with or without a query, which our own pages ignore.
AdminAnswer AnswerAdminRequest(std::string_view method, std::string_view target,
                               const AdminPages& pages);

class AdminServer {
 public:
  // Binds "host:port" (port 0: a free one; IPv6 as "[::1]:0") and starts to answer. The callbacks
  // of `pages` are called on the server's thread. InvalidArgument: no such form. Unavailable: the
  // address cannot be bound; the message names it.
  static absl::StatusOr<std::unique_ptr<AdminServer>> Start(std::string_view address,
                                                            AdminPages pages,
                                                            AdminLimits limits = {});
  // Closes every connection.
  ~AdminServer();
  // "127.0.0.1:9090", with the real port.
  const std::string& address() const { return address_; }

 private:
  AdminServer(int listen_fd, int wake_fd, std::string address, AdminPages pages,
              AdminLimits limits);
  void Run();

  int listen_fd_;
  int wake_fd_;
  std::string address_;
  AdminPages pages_;
  AdminLimits limits_;
  std::thread thread_;
};

}  // namespace common
