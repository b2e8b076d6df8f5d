#include "common/admin_server.h"

#include <gtest/gtest.h>

#include "tests/unit/common/admin_client.h"

namespace common {
namespace {

using candor_test::AdminClient;
using candor_test::AskAdmin;

AdminPages FakePages() {
  return {.render_metrics = [] { return std::string("up 1\n"); }, .is_ready = [] { return true; }};
}

std::unique_ptr<AdminServer> StartServer(AdminPages pages, AdminLimits limits = {}) {
  absl::StatusOr<std::unique_ptr<AdminServer>> server =
      AdminServer::Start("127.0.0.1:0", std::move(pages), limits);
  EXPECT_TRUE(server.ok()) << server.status();
  return *std::move(server);
}

std::string Ask(const AdminServer& server, std::string_view request) {
  return AskAdmin(server.address(), request);
}

TEST(AdminServerTest, EachRequestLineHasItsAnswer) {
  struct Case {
    std::string_view method;
    std::string_view path;
    bool is_ready;
    int want_status;
    std::string_view want_body;
  };
  const Case cases[] = {
      {"GET", "/healthz", true, 200, "ok\n"},
      {"GET", "/healthz", false, 200, "ok\n"},
      {"GET", "/readyz", true, 200, "ready\n"},
      {"GET", "/readyz", false, 503, "draining\n"},
      {"HEAD", "/readyz?verbose", true, 200, "ready\n"},
      {"GET", "/metrics", false, 200, "up 1\n"},
      {"GET", "/", true, 404, "known are /metrics, /healthz and /readyz\n"},
      {"GET", "", true, 404, "known are /metrics, /healthz and /readyz\n"},
      {"GET", "/metrics/", true, 404, "known are /metrics, /healthz and /readyz\n"},
      {"POST", "/metrics", true, 405, "only GET and HEAD\n"},
      {"get", "/metrics", true, 405, "only GET and HEAD\n"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.method) + " " + std::string(c.path));
    AdminPages pages = FakePages();
    pages.is_ready = [&c] { return c.is_ready; };
    const AdminAnswer answer = AnswerAdminRequest(c.method, c.path, pages);
    EXPECT_EQ(answer.status, c.want_status);
    EXPECT_EQ(answer.body, c.want_body);
  }
}

TEST(AdminServerTest, RequestsAreAnsweredOverSockets) {
  struct Case {
    std::string_view name;
    std::string request;
    std::string_view want;
  };
  const Case cases[] = {
      {"metrics", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
       "Content-Length: 5\r\nConnection: close\r\n\r\nup 1\n"},
      {"head", "HEAD /metrics HTTP/1.0\r\n\r\n",
       "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
       "Content-Length: 5\r\nConnection: close\r\n\r\n"},
      {"method", "DELETE /metrics HTTP/1.1\r\n\r\n",
       "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n"
       "Content-Length: 18\r\nAllow: GET, HEAD\r\nConnection: close\r\n\r\nonly GET and HEAD\n"},
      {"not HTTP", "hello\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"one word", "GET HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
      {"too large", "GET /metrics HTTP/1.1\r\nX: " + std::string(9'000, 'x') + "\r\n\r\n",
       "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
      {"far too large", std::string(1 << 20, 'x'),
       "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
      {"bytes after the request", "GET /readyz HTTP/1.1\r\n\r\n" + std::string(2'000, 'x'),
       "HTTP/1.1 200 OK\r\n"},
  };
  const std::unique_ptr<AdminServer> server = StartServer(FakePages());
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Ask(*server, c.request).substr(0, c.want.size()), c.want);
  }
}

TEST(AdminServerTest, ARequestMayArriveInAnyPieces) {
  const std::string request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::unique_ptr<AdminServer> server = StartServer(FakePages());
  for (size_t cut = 1; cut < request.size(); ++cut) {
    AdminClient client(server->address());
    client.Send(request.substr(0, cut));
    // An answer to somebody else shows that the first piece has been taken.
    Ask(*server, request);
    client.Send(request.substr(cut));
    ASSERT_TRUE(client.Receive().ends_with("\r\n\r\nok\n")) << cut;
  }
}

TEST(AdminServerTest, ALargePageArrivesWhole) {
  AdminPages pages = FakePages();
  pages.render_metrics = [] { return std::string(8 << 20, 'm'); };
  const std::unique_ptr<AdminServer> server = StartServer(pages);
  const std::string answer = Ask(*server, "GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\n" + std::string(8 << 20, 'm')));
}

TEST(AdminServerTest, ASlowClientDoesNotDelayAnother) {
  AdminPages pages = FakePages();
  pages.render_metrics = [] { return std::string(8 << 20, 'm'); };
  const std::unique_ptr<AdminServer> server =
      StartServer(pages, {.answer_within = std::chrono::hours(1)});
  AdminClient silent(server->address());
  AdminClient half(server->address());
  half.Send("GET /hea");
  AdminClient reads_nothing(server->address());
  reads_nothing.Send("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(Ask(*server, "GET /readyz HTTP/1.1\r\n\r\n").ends_with("ready\n"));
}

TEST(AdminServerTest, TheOldestMakesRoomForTheNewest) {
  const std::unique_ptr<AdminServer> server =
      StartServer(FakePages(), {.connections = 2, .answer_within = std::chrono::hours(1)});
  AdminClient first(server->address());
  AdminClient second(server->address());
  AdminClient third(server->address());
  EXPECT_EQ(first.Receive(), "");
  third.Send("GET /healthz HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(third.Receive().ends_with("ok\n"));
}

TEST(AdminServerTest, WhoIsTooSlowIsClosed) {
  const std::unique_ptr<AdminServer> server =
      StartServer(FakePages(), {.answer_within = std::chrono::milliseconds(20)});
  AdminClient client(server->address());
  client.Send("GET /healthz HT");
  EXPECT_EQ(client.Receive(), "");
}

TEST(AdminServerTest, AddressesAreBoundOrRefusedByName) {
  struct Case {
    std::string_view address;
    absl::StatusCode want;
    std::string_view want_message;
  };
  const std::unique_ptr<AdminServer> taken = StartServer(FakePages());
  const Case cases[] = {
      {"localhost:0", absl::StatusCode::kOk, ""},
      {taken->address(), absl::StatusCode::kUnavailable, "Address already in use"},
      {"127.0.0.1", absl::StatusCode::kInvalidArgument, "write host:port or [IPv6]:port"},
      {"127.0.0.1:", absl::StatusCode::kInvalidArgument, "write host:port"},
      {":80", absl::StatusCode::kInvalidArgument, "write host:port"},
      {"::1:80", absl::StatusCode::kInvalidArgument, "write host:port"},
      {"127.0.0.1:http", absl::StatusCode::kInvalidArgument, "write host:port"},
      {"127.0.0.1:65536", absl::StatusCode::kInvalidArgument, "write host:port"},
      {"127.0.0.1:-1", absl::StatusCode::kInvalidArgument, "write host:port"},
      {"192.0.2.1:0", absl::StatusCode::kUnavailable, "cannot listen on 192.0.2.1:0: "},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.address);
    const auto server = AdminServer::Start(c.address, FakePages());
    EXPECT_EQ(server.status().code(), c.want);
    const std::string message(server.status().message());
    EXPECT_NE(message.find(c.want_message), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace common
