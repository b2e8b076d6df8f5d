#include "common/admin_connections.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/concat.h"

namespace common {
namespace {

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

}  // namespace

// One client: first its request is read, then the answer written, then the rest of what it sends
// is swallowed until it closes, lest a reset destroys the answer on its way.
class AdminConnection {
 public:
  AdminConnection(int fd, MonotonicTime deadline) : fd_(fd), deadline_(deadline) {}
  ~AdminConnection() { close(fd_); }
  AdminConnection(const AdminConnection&) = delete;
  AdminConnection& operator=(const AdminConnection&) = delete;

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

AdminConnections::AdminConnections(const AdminPages& pages, const AdminLimits& limits)
    : pages_(pages), limits_(limits) {}

AdminConnections::~AdminConnections() = default;

void AdminConnections::Accept(int listen_fd, MonotonicTime now) {
  const int fd = accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) {
    if (errno == EMFILE || errno == ENFILE) MakeRoomForDescriptor();
    return;
  }
  if (open_.size() >= limits_.connections) CloseOldest();
  open_.push_back(std::make_unique<AdminConnection>(fd, now + limits_.answer_within));
}

void AdminConnections::AppendWaited(std::vector<pollfd>& waited) const {
  for (const auto& connection : open_) waited.push_back(connection->Waited());
}

void AdminConnections::Continue(const pollfd* polled) {
  for (const auto& connection : open_) {
    if (polled->revents != 0) connection->Continue(pages_, limits_);
    ++polled;
  }
}

void AdminConnections::CloseFinished(MonotonicTime now) {
  std::erase_if(open_, [now](const auto& connection) {
    return connection->IsDone() || connection->deadline() <= now;
  });
}

int AdminConnections::TimeoutMs(MonotonicTime now) const {
  if (open_.empty()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(open_.front()->deadline() - now);
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// The listener stays readable without a descriptor to accept with: gives one up, or waits a little
// so as not to spin.
void AdminConnections::MakeRoomForDescriptor() {
  if (open_.empty()) poll(nullptr, 0, kDescriptorWaitMs);
  CloseOldest();
}

void AdminConnections::CloseOldest() {
  if (!open_.empty()) open_.pop_front();
}

}  // namespace common
