// The admin port of both programs: /metrics, /healthz, /readyz over HTTP/1.1, on one thread of its
// own with plain sockets, one answer per connection. Bounded by AdminLimits; a slow client never
// delays another.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/statusor.h"

namespace common {

struct AdminAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body = {};
};

struct AdminPages {
  // The Prometheus text exposition, content type "text/plain; version=0.0.4; charset=utf-8".
  std::function<std::string()> render_metrics;
  // Whether the program takes new work: valid configuration and not draining.
  std::function<bool()> is_ready;
};

struct AdminLimits {
  // When one more arrives, the oldest is closed.
  size_t connections = 64;
  // Request line and headers; a longer request gets 431.
  size_t request_bytes = 8 * 1024;
  // From accept to the last byte of the answer; then the connection is closed.
  std::chrono::milliseconds answer_within = std::chrono::seconds(5);
};

// Pure: what to answer to one request line. /healthz is always 200 "ok", /readyz 200 "ready" or 503
// "draining", others 404, methods other than GET and HEAD 405. A query in `path` is ignored.
AdminAnswer AnswerAdminRequest(std::string_view method, std::string_view path,
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
