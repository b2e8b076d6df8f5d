#include "common/admin_server.h"

#include <netdb.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/clock.h"
#include "common/concat.h"

namespace common {
namespace {

constexpr int kListenBacklog = 128;
constexpr int kDescriptorWaitMs = 100;
constexpr std::string_view kEndOfHeaders = "\r\n\r\n";

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

std::string RenderHttpAnswer(const AdminAnswer& answer, std::string_view method) {
  const std::string_view allow = answer.status == 405 ? "Allow: GET, HEAD\r\n" : "";
  return Concat("HTTP/1.1 ", answer.status, " ", ReasonPhrase(answer.status),
                "\r\nContent-Type: ", answer.content_type,
                "\r\nContent-Length: ", answer.body.size(), "\r\n", allow,
                "Connection: close\r\n\r\n", method == "HEAD" ? "" : answer.body);
}

// The answer to `received` once that is enough to give one.
std::optional<std::string> AnswerReceived(std::string_view received, const AdminPages& pages,
                                          const AdminLimits& limits) {
  const bool is_complete = received.find(kEndOfHeaders) != received.npos;
  if (received.size() > limits.request_bytes) {
    return RenderHttpAnswer({.status = 431, .body = "request too large\n"}, "");
  }
  if (!is_complete) return std::nullopt;

  const std::string_view line = received.substr(0, received.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  const bool is_http =
      first != line.npos && last > first && line.substr(last + 1).starts_with("HTTP/1.");
  if (!is_http) return RenderHttpAnswer({.status = 400, .body = "not an HTTP/1 request\n"}, "");
  const std::string_view method = line.substr(0, first);
  const std::string_view path = line.substr(first + 1, last - first - 1);
  return RenderHttpAnswer(AnswerAdminRequest(method, path, pages), method);
}

// One client: first its request is read, then the answer written, then the rest of what it sends
// is swallowed until it closes, lest a reset destroys the answer on its way.
class Connection {
 public:
  Connection(int fd, MonotonicTime deadline) : fd_(fd), deadline_(deadline) {}
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  MonotonicTime deadline() const { return deadline_; }
  bool IsDone() const { return is_done_; }

  pollfd Waited() const {
    const bool is_writing = state_ == State::kWriting;
    return {.fd = fd_, .events = static_cast<short>(is_writing ? POLLOUT : POLLIN), .revents = 0};
  }

  // Goes on as far as it can without waiting.
  void Continue(const AdminPages& pages, const AdminLimits& limits) {
    if (state_ != State::kWriting) Receive(pages, limits);
    if (state_ == State::kWriting) Send();
  }

 private:
  enum class State { kReading, kWriting, kLingering };

  static bool IsTransient() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  void Receive(const AdminPages& pages, const AdminLimits& limits) {
    char buffer[4 * 1024];
    const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count == 0 || (count < 0 && !IsTransient())) is_done_ = true;
    if (count <= 0 || state_ == State::kLingering) return;
    received_.append(buffer, static_cast<size_t>(count));
    if (std::optional<std::string> answer = AnswerReceived(received_, pages, limits)) {
      unsent_ = *std::move(answer);
      state_ = State::kWriting;
    }
  }

  void Send() {
    const ssize_t count =
        send(fd_, unsent_.data() + sent_bytes_, unsent_.size() - sent_bytes_, MSG_NOSIGNAL);
    if (count < 0) {
      is_done_ = !IsTransient();
      return;
    }
    sent_bytes_ += static_cast<size_t>(count);
    if (sent_bytes_ < unsent_.size()) return;
    shutdown(fd_, SHUT_WR);
    state_ = State::kLingering;
  }

  int fd_;
  MonotonicTime deadline_;
  State state_ = State::kReading;
  std::string received_;
  std::string unsent_;
  size_t sent_bytes_ = 0;
  bool is_done_ = false;
};

// All connections, oldest first. Every function takes what time it is.
class Connections {
 public:
  Connections(const AdminPages& pages, const AdminLimits& limits)
      : pages_(pages), limits_(limits) {}

  void Accept(int listen_fd, MonotonicTime now) {
    const int fd = accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EMFILE || errno == ENFILE) MakeRoomForDescriptor();
      return;
    }
    if (open_.size() >= limits_.connections) CloseOldest();
    open_.push_back(std::make_unique<Connection>(fd, now + limits_.answer_within));
  }

  void AppendWaited(std::vector<pollfd>& waited) const {
    for (const auto& connection : open_) waited.push_back(connection->Waited());
  }

  // `polled` is what AppendWaited gave, with the results.
  void Continue(const pollfd* polled) {
    for (const auto& connection : open_) {
      if (polled->revents != 0) connection->Continue(pages_, limits_);
      ++polled;
    }
  }

  void CloseFinished(MonotonicTime now) {
    std::erase_if(open_, [now](const auto& connection) {
      return connection->IsDone() || connection->deadline() <= now;
    });
  }

  // Until the next deadline; -1 when there is none.
  int TimeoutMs(MonotonicTime now) const {
    if (open_.empty()) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(open_.front()->deadline() - now);
    return static_cast<int>(std::max<int64_t>(left.count(), 0));
  }

 private:
  // The listener stays readable without a descriptor to accept with: gives one up, or waits a
  // little so as not to spin.
  void MakeRoomForDescriptor() {
    if (open_.empty()) poll(nullptr, 0, kDescriptorWaitMs);
    CloseOldest();
  }

  void CloseOldest() {
    if (!open_.empty()) open_.pop_front();
  }

  const AdminPages& pages_;
  const AdminLimits& limits_;
  std::deque<std::unique_ptr<Connection>> open_;
};

struct HostAndPort {
  std::string host;
  std::string port;
};

// Splits "host:port" or "[v6]:port"; nothing when it is neither.
std::optional<HostAndPort> SplitAddress(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == address.npos || colon + 1 == address.size()) return std::nullopt;
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != host.npos) {
    return std::nullopt;
  }
  const std::string port(address.substr(colon + 1));
  int port_number = 0;
  const bool is_port = absl::ascii_isdigit(static_cast<unsigned char>(port.front())) &&
                       absl::SimpleAtoi(port, &port_number) && port_number <= 65'535;
  if (host.empty() || !is_port) return std::nullopt;
  return HostAndPort{std::string(host), port};
}

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

AdminAnswer AnswerAdminRequest(std::string_view method, std::string_view path,
                               const AdminPages& pages) {
  if (method != "GET" && method != "HEAD") return {.status = 405, .body = "only GET and HEAD\n"};
  path = path.substr(0, path.find('?'));
  if (path == "/healthz") return {.body = "ok\n"};
  if (path == "/readyz") {
    if (pages.is_ready()) return {.body = "ready\n"};
    return {.status = 503, .body = "draining\n"};
  }
  if (path == "/metrics") {
    return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = pages.render_metrics()};
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
  Connections connections(pages_, limits_);
  std::vector<pollfd> waited;
  while (true) {
    waited = {{.fd = wake_fd_, .events = POLLIN, .revents = 0},
              {.fd = listen_fd_, .events = POLLIN, .revents = 0}};
    connections.AppendWaited(waited);
    if (poll(waited.data(), waited.size(), connections.TimeoutMs(clock.Monotonic())) > 0) {
      if (waited[0].revents != 0) return;
      connections.Continue(waited.data() + 2);
      if (waited[1].revents != 0) connections.Accept(listen_fd_, clock.Monotonic());
    }
    connections.CloseFinished(clock.Monotonic());
  }
}

}  // namespace common
