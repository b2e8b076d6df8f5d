#include "common/health_check.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iostream>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "common/concat.h"

namespace common {
namespace {

constexpr std::chrono::seconds kTimeout{2};
constexpr std::string_view kRequest =
    "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

absl::Status NoAnswer(std::string_view address, std::string_view reason) {
  return absl::UnavailableError(Concat(address, " does not answer: ", reason));
}

// The first bytes of the answer; fewer when the other side closes.
std::string ReadStart(int fd, size_t wanted) {
  std::string text(wanted, '\0');
  size_t size = 0;
  while (size < wanted) {
    const ssize_t count = recv(fd, text.data() + size, wanted - size, 0);
    if (count <= 0) break;
    size += static_cast<size_t>(count);
  }
  text.resize(size);
  return text;
}

absl::Status Ask(std::string_view address, const addrinfo& to, timeval timeout) {
  const int fd = socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return NoAnswer(address, std::strerror(errno));
  const absl::Cleanup close_fd = [fd] { close(fd); };
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);  // also of connect
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  if (connect(fd, to.ai_addr, to.ai_addrlen) != 0 ||
      send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(kRequest.size())) {
    return NoAnswer(address, std::strerror(errno));
  }
  constexpr std::string_view kHealthy = "HTTP/1.1 200 ";
  const std::string start = ReadStart(fd, kHealthy.size());
  if (start.empty()) return NoAnswer(address, "the connection ended or nothing came");
  if (start == kHealthy) return absl::OkStatus();
  return absl::InternalError(Concat(address, " answers \"", start, "\""));
}

}  // namespace

absl::Status CheckHealth(std::string_view address, std::chrono::seconds timeout) {
  const size_t colon = address.rfind(':');
  if (colon == 0 || colon == address.npos || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(Concat("\"", address, "\" is no address; write host:port"));
  }
  std::string_view host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(std::string(host).c_str(),
                                std::string(address.substr(colon + 1)).c_str(), &hints, &found);
  if (error != 0) return NoAnswer(address, gai_strerror(error));
  const absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  return Ask(address, *found, {.tv_sec = timeout.count(), .tv_usec = 0});
}

int RunHealthCheck(std::string_view address) {
  const absl::Status status = CheckHealth(address, kTimeout);
  if (!status.ok()) std::cerr << status.message() << std::endl;
  return status.ok() ? 0 : 1;
}

}  // namespace common
