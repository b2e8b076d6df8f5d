#include "common/health_check.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "common/admin_server.h"
#include "common/concat.h"

namespace common {
namespace {

using std::chrono::seconds;

TEST(HealthCheckTest, ARunningAdminServerIsHealthyEvenWhenItIsNotReady) {
  auto server = AdminServer::Start("127.0.0.1:0", {.render_metrics = [] { return std::string(); },
                                                   .is_ready = [] { return false; }});
  ASSERT_TRUE(server.ok());
  EXPECT_EQ(CheckHealth((*server)->address(), seconds(5)), absl::OkStatus());
}

TEST(HealthCheckTest, NobodyThereIsUnavailable) {
  auto server = AdminServer::Start("127.0.0.1:0", {.render_metrics = [] { return std::string(); },
                                                   .is_ready = [] { return true; }});
  const std::string address((*server)->address());
  server->reset();
  EXPECT_TRUE(absl::IsUnavailable(CheckHealth(address, seconds(5))));
}

TEST(HealthCheckTest, WhatIsNoAddressIsRefused) {
  for (const char* address : {"", "9090", ":9090", "localhost:", "localhost"}) {
    SCOPED_TRACE(address);
    EXPECT_TRUE(absl::IsInvalidArgument(CheckHealth(address, seconds(5))));
  }
}

// Listens, and answers its only client with `reply` before it closes.
class OneReply {
 public:
  explicit OneReply(std::string reply) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    address_ = Concat("127.0.0.1:", ntohs(address.sin_port));
    thread_ = std::thread([this, reply = std::move(reply)] {
      const int client = accept(fd_, nullptr, nullptr);
      char request[512];
      EXPECT_GT(recv(client, request, sizeof request, 0), 0);
      EXPECT_EQ(send(client, reply.data(), reply.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(reply.size()));
      close(client);
    });
  }
  ~OneReply() {
    thread_.join();
    close(fd_);
  }
  const std::string& address() const { return address_; }

 private:
  int fd_;
  std::string address_;
  std::thread thread_;
};

TEST(HealthCheckTest, AnyOtherAnswerIsNotHealthy) {
  for (const char* reply :
       {"HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP/1.1 2", "220 mail\r\n"}) {
    SCOPED_TRACE(reply);
    OneReply other(reply);
    EXPECT_TRUE(absl::IsInternal(CheckHealth(other.address(), seconds(5))));
  }
  OneReply silent("");
  EXPECT_TRUE(absl::IsUnavailable(CheckHealth(silent.address(), seconds(5))));
}

}  // namespace
}  // namespace common
