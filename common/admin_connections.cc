#include "common/admin_connections.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
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
                "\r\nContent-Length: ", answer.body.size(), "\r\n", allow, answer.headers,
                "Connection: close\r\n\r\n", method == "HEAD" ? "" : answer.body);
}

// Proxies must not hold events back (X-Accel-Buffering is nginx's word for that).
constexpr std::string_view kEventsHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
    "X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\nConnection: close\r\n\r\n";
constexpr std::string_view kTooManyStreams =
    "too many are watching already; close a page, or try again later\n";
const auto kHeartbeat = std::make_shared<const std::string>(":\n\n");

// What the kernel may hold of events that a slow client has not taken: little, so that the next one
// it is sent is a new one.
constexpr int kStreamBufferBytes = 128 * 1024;
// A peer that no longer answers at all is given up after this.
constexpr unsigned kPeerTimeoutMs = 30'000;

// What a client gets: the whole answer, or its head and then events.
struct AdminReply {
  std::string bytes;
  std::unique_ptr<AdminEvents> events;  // null: nothing follows
};

AdminReply ReplyTo(std::string_view method, std::string_view target, const AdminPages& pages,
                   bool has_room_for_stream) {
  if (method == "GET" && pages.open_events) {
    if (auto events = pages.open_events(target)) {
      if (has_room_for_stream) return {std::string(kEventsHead), std::move(events)};
      return {RenderHttpAnswer({.status = 503, .body = std::string(kTooManyStreams)}, method), {}};
    }
  }
  return {RenderHttpAnswer(AnswerAdminRequest(method, target, pages), method), {}};
}

// The reply to `received` once that is enough to give one.
std::optional<AdminReply> ReplyToReceived(std::string_view received, const AdminPages& pages,
                                          size_t max_bytes, bool has_room_for_stream) {
  const bool is_complete = received.find(kEndOfHeaders) != received.npos;
  if (received.size() > max_bytes) {
    return AdminReply{RenderHttpAnswer({.status = 431, .body = "request too large\n"}, ""), {}};
  }
  if (!is_complete) return std::nullopt;

  const std::string_view line = received.substr(0, received.find("\r\n"));
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  const bool is_http =
      first != line.npos && last > first && line.substr(last + 1).starts_with("HTTP/1.");
  if (!is_http) {
    return AdminReply{RenderHttpAnswer({.status = 400, .body = "not an HTTP/1 request\n"}, ""), {}};
  }
  return ReplyTo(line.substr(0, first), line.substr(first + 1, last - first - 1), pages,
                 has_room_for_stream);
}

}  // namespace

// One client: first its request is read, then the answer written, then the rest of what it sends
// is swallowed until it closes, lest a reset destroys the answer on its way. Or, in place of the
// answer, events are written until it closes.
class AdminConnection {
 public:
  AdminConnection(int fd, MonotonicTime deadline) : fd_(fd), deadline_(deadline) {}
  ~AdminConnection() { close(fd_); }
  AdminConnection(const AdminConnection&) = delete;
  AdminConnection& operator=(const AdminConnection&) = delete;

  MonotonicTime deadline() const { return deadline_; }
  bool IsDone() const { return is_done_; }
  bool IsStream() const { return events_ != nullptr; }

  pollfd Waited() const {
    const int events = IsStream() ? POLLIN | (unsent_ ? POLLOUT : 0) : unsent_ ? POLLOUT : POLLIN;
    return {.fd = fd_, .events = static_cast<short>(events), .revents = 0};
  }

  // Goes on as far as it can without waiting.
  void Continue(const AdminPages& pages, const AdminLimits& limits, bool has_room_for_stream) {
    if (!unsent_ || IsStream()) Receive(pages, limits, has_room_for_stream);
    if (unsent_) Send();
  }

  // From now on it has all the time of the world, but not for a single event.
  void BeginStream(MonotonicTime now) {
    setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &kStreamBufferBytes, sizeof kStreamBufferBytes);
    setsockopt(fd_, IPPROTO_TCP, TCP_USER_TIMEOUT, &kPeerTimeoutMs, sizeof kPeerTimeoutMs);
    deadline_ = unsent_ ? deadline_ : MonotonicTime::max();
    last_sent_at_ = now;
  }

  // Of a stream: starts to send what is new.
  void SendEvent(const AdminLimits& limits, MonotonicTime now) {
    if (unsent_) return;
    deadline_ = MonotonicTime::max();
    std::shared_ptr<const std::string> event = events_->Next();
    if (!event && now - last_sent_at_ >= limits.heartbeat) event = kHeartbeat;
    if (!event) return;
    Start(std::move(event));
    last_sent_at_ = now;
    deadline_ = now + limits.event_within;
    Send();
  }

 private:
  static bool IsTransient() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

  void Receive(const AdminPages& pages, const AdminLimits& limits, bool has_room_for_stream) {
    char buffer[4 * 1024];
    const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
    if (count == 0 || (count < 0 && !IsTransient())) is_done_ = true;
    // Who watches has nothing more to say, and all day to say it.
    if (count > 0 && IsStream()) is_done_ = true;
    if (count <= 0 || is_answered_) return;
    received_.append(buffer, static_cast<size_t>(count));
    auto reply = ReplyToReceived(received_, pages, limits.request_bytes, has_room_for_stream);
    if (!reply.has_value()) return;
    is_answered_ = true;
    events_ = std::move(reply->events);
    Start(std::make_shared<const std::string>(std::move(reply->bytes)));
  }

  void Start(std::shared_ptr<const std::string> text) {
    unsent_ = std::move(text);
    sent_bytes_ = 0;
  }

  void Send() {
    const ssize_t count =
        send(fd_, unsent_->data() + sent_bytes_, unsent_->size() - sent_bytes_, MSG_NOSIGNAL);
    if (count < 0) {
      is_done_ |= !IsTransient();
      return;
    }
    sent_bytes_ += static_cast<size_t>(count);
    if (sent_bytes_ < unsent_->size()) return;
    unsent_.reset();
    if (!IsStream()) shutdown(fd_, SHUT_WR);
  }

  int fd_;
  MonotonicTime deadline_;
  std::string received_;
  bool is_answered_ = false;
  std::shared_ptr<const std::string> unsent_;  // shared with other streams; null: all is sent
  size_t sent_bytes_ = 0;
  std::unique_ptr<AdminEvents> events_;  // null: no stream
  MonotonicTime last_sent_at_;
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
  for (const auto& connection : streams_) waited.push_back(connection->Waited());
}

void AdminConnections::Continue(const pollfd* polled, MonotonicTime now) {
  size_t streams = streams_.size();
  for (const auto& connection : open_) {
    if ((polled++)->revents == 0) continue;
    connection->Continue(pages_, limits_, streams < limits_.streams);
    if (connection->IsStream()) ++streams;
  }
  for (const auto& connection : streams_) {
    if ((polled++)->revents != 0) connection->Continue(pages_, limits_, false);
  }
  for (auto& connection : open_) {
    if (!connection->IsStream()) continue;
    connection->BeginStream(now);
    connection->SendEvent(limits_, now);
    streams_.push_back(std::move(connection));
  }
  std::erase(open_, nullptr);
}

void AdminConnections::SendEvents(MonotonicTime now) {
  if (now < next_events_) return;
  next_events_ = now + limits_.event_interval;
  for (const auto& connection : streams_) connection->SendEvent(limits_, now);
}

void AdminConnections::CloseFinished(MonotonicTime now) {
  const auto is_finished = [now](const auto& connection) {
    return connection->IsDone() || connection->deadline() <= now;
  };
  std::erase_if(open_, is_finished);
  std::erase_if(streams_, is_finished);
}

int AdminConnections::TimeoutMs(MonotonicTime now) const {
  if (open_.empty() && streams_.empty()) return -1;
  MonotonicTime next = streams_.empty() ? MonotonicTime::max() : next_events_;
  if (!open_.empty()) next = std::min(next, open_.front()->deadline());
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - now);
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// The listener stays readable without a descriptor to accept with: gives one up, or waits a little
// so as not to spin.
void AdminConnections::MakeRoomForDescriptor() {
  if (open_.empty() && streams_.empty()) poll(nullptr, 0, kDescriptorWaitMs);
  if (open_.empty() && !streams_.empty()) streams_.erase(streams_.begin());
  CloseOldest();
}

void AdminConnections::CloseOldest() {
  if (!open_.empty()) open_.pop_front();
}

}  // namespace common
