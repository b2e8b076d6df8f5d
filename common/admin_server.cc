#include "common/admin_server.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "common/admin_connections.h"
#include "common/clock.h"
#include "common/concat.h"
#include "common/listen_address.h"

namespace common {
namespace {

constexpr int kListenBacklog = 128;

absl::Status CannotListen(std::string_view address, std::string_view reason) {
  return absl::UnavailableError(Concat("cannot listen on ", address, ": ", reason));
}

absl::StatusOr<int> Listen(std::string_view address) {
  const std::optional<HostAndPort> parts = SplitAddress(address);
  if (!parts.has_value()) {
    return absl::InvalidArgumentError(
        Concat("\"", address, "\" is no address; write host:port or [IPv6]:port"));
  }
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(parts->host.c_str(), parts->port.c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const absl::Cleanup free_found = [found] { freeaddrinfo(found); };

  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return CannotListen(address, std::strerror(errno));
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, kListenBacklog) != 0) {
    const std::string reason = std::strerror(errno);
    close(fd);
    return CannotListen(address, reason);
  }
  return fd;
}

std::string BoundAddress(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  const auto* bound = reinterpret_cast<const sockaddr*>(&address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  getnameinfo(bound, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  return address.ss_family == AF_INET6 ? Concat("[", host, "]:", port) : Concat(host, ":", port);
}

}  // namespace

AdminAnswer AnswerAdminRequest(std::string_view method, std::string_view target,
                               const AdminPages& pages) {
  if (method != "GET" && method != "HEAD") return {.status = 405, .body = "only GET and HEAD\n"};
  const std::string_view path = target.substr(0, target.find('?'));
  if (path == "/healthz") return {.body = "ok\n"};
  if (path == "/readyz") {
    if (pages.is_ready()) return {.body = "ready\n"};
    return {.status = 503, .body = "draining\n"};
  }
  if (path == "/metrics") {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = pages.render_metrics()};
  }
  if (pages.find_page) {
    if (std::optional<AdminAnswer> page = pages.find_page(target)) return *std::move(page);
  }
  return {.status = 404, .body = "known are /metrics, /healthz and /readyz\n"};
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(std::string_view address,
                                                                AdminPages pages,
                                                                AdminLimits limits) {
  const absl::StatusOr<int> listen_fd = Listen(address);
  if (!listen_fd.ok()) return listen_fd.status();
  const int wake_fd = eventfd(0, EFD_CLOEXEC);
  if (wake_fd < 0) {
    close(*listen_fd);
    return CannotListen(address, std::strerror(errno));
  }
  return std::unique_ptr<AdminServer>(
      new AdminServer(*listen_fd, wake_fd, BoundAddress(*listen_fd), std::move(pages), limits));
}

AdminServer::AdminServer(int listen_fd, int wake_fd, std::string address, AdminPages pages,
                         AdminLimits limits)
    : listen_fd_(listen_fd),
      wake_fd_(wake_fd),
      address_(std::move(address)),
      pages_(std::move(pages)),
      limits_(limits),
      thread_([this] { Run(); }) {}

AdminServer::~AdminServer() {
  eventfd_write(wake_fd_, 1);
  thread_.join();
  close(wake_fd_);
  close(listen_fd_);
}

void AdminServer::Run() {
  const SystemClock clock;
  AdminConnections connections(pages_, limits_);
  std::vector<pollfd> waited;
  while (true) {
    waited = {{.fd = wake_fd_, .events = POLLIN, .revents = 0},
              {.fd = listen_fd_, .events = POLLIN, .revents = 0}};
    connections.AppendWaited(waited);
    if (poll(waited.data(), waited.size(), connections.TimeoutMs(clock.Monotonic())) > 0) {
      if (waited[0].revents != 0) return;
      connections.Continue(waited.data() + 2, clock.Monotonic());
      if (waited[1].revents != 0) connections.Accept(listen_fd_, clock.Monotonic());
    }
    connections.SendEvents(clock.Monotonic());
    connections.CloseFinished(clock.Monotonic());
  }
}

}  // namespace common
