// A client's end of a connection to an admin server on 127.0.0.1.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "absl/strings/numbers.h"

namespace candor_test {

class AdminClient {
 public:
  explicit AdminClient(std::string_view server) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(std::string(server.substr(server.rfind(':') + 1)), &port));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience = {.tv_sec = 30, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~AdminClient() { close(fd_); }
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  void Send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      text.remove_prefix(static_cast<size_t>(count));
    }
  }

  // Everything until the server closes (or has been silent for too long to go on).
  std::string Receive() { return ReceiveUntil(""); }

  // Everything up to the piece in which `wanted` appears, or until the server closes.
  std::string ReceiveUntil(std::string_view wanted) {
    std::string text;
    char buffer[64 * 1024];
    while (wanted.empty() || text.find(wanted) == text.npos) {
      const ssize_t count = recv(fd_, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    return text;
  }

 private:
  int fd_;
};

inline std::string AskAdmin(std::string_view server, std::string_view request) {
  AdminClient client(server);
  client.Send(request);
  return client.Receive();
}

}  // namespace candor_test
