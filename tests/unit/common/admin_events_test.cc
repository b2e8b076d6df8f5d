// Streams of events on the admin port, with clients that read and clients that do not.
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <mutex>

#include "common/admin_server.h"
#include "common/concat.h"
#include "tests/unit/common/admin_client.h"

namespace common {
namespace {

using namespace std::chrono_literals;
using candor_test::AdminClient;
using candor_test::AskAdmin;

constexpr std::string_view kWatch = "GET /events HTTP/1.1\r\n\r\n";

// One text that all watchers of "/events" are shown when it changes.
class Board {
 public:
  void Show(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::make_shared<const std::string>(std::move(text));
  }
  std::shared_ptr<const std::string> Text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  std::atomic<int> watchers = 0;

 private:
  std::mutex mutex_;
  std::shared_ptr<const std::string> text_;  // guarded by mutex_
};

class BoardEvents final : public AdminEvents {
 public:
  explicit BoardEvents(Board& board) : board_(board) { ++board_.watchers; }
  ~BoardEvents() override { --board_.watchers; }
  std::shared_ptr<const std::string> Next() override {
    const auto text = board_.Text();
    return text == last_ ? nullptr : last_ = text;
  }

 private:
  Board& board_;
  std::shared_ptr<const std::string> last_;
};

class AdminEventsTest : public testing::Test {
 protected:
  void Start(AdminLimits limits) {
    limits.event_interval = 1ms;
    server_ = *AdminServer::Start(
        "127.0.0.1:0",
        {.render_metrics = [] { return std::string("up 1\n"); },
         .is_ready = [] { return true; },
         .find_page = [](std::string_view target) -> std::optional<AdminAnswer> {
           if (target != "/page?q=1") return std::nullopt;
           return AdminAnswer{.body = "mine\n", .headers = "X-Mine: yes\r\n"};
         },
         .open_events = [this](std::string_view target) -> std::unique_ptr<AdminEvents> {
           if (target.substr(0, target.find('?')) != "/events") return nullptr;
           return std::make_unique<BoardEvents>(board_);
         }},
        limits);
  }
  std::string Ask(std::string_view request) { return AskAdmin(server_->address(), request); }
  bool IsServing() { return Ask("GET /healthz HTTP/1.1\r\n\r\n").ends_with("ok\n"); }
  // Round trips until no more than `most` are left.
  void WaitForWatchers(int most) {
    for (int i = 0; i < 100'000 && board_.watchers > most; ++i) ASSERT_TRUE(IsServing());
    ASSERT_LE(board_.watchers, most);
  }

  Board board_;
  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminEventsTest, PagesOfTheProgramAreFoundBesideOurs) {
  Start({});
  EXPECT_EQ(Ask("GET /page?q=1 HTTP/1.1\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n"
            "X-Mine: yes\r\nConnection: close\r\n\r\nmine\n");
  EXPECT_TRUE(Ask("GET /page HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(Ask("POST /page?q=1 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask("POST /events HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(Ask("HEAD /events HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
}

TEST_F(AdminEventsTest, AWatcherIsShownWhatIsThereAndWhatComes) {
  Start({});
  board_.Show("data: one\n\n");
  AdminClient client(server_->address());
  client.Send(kWatch);
  const std::string head = client.ReceiveUntil("data: one\n\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")) << head;
  EXPECT_NE(head.find("\r\nCache-Control: no-store\r\n"), head.npos);
  EXPECT_EQ(head.find("Content-Length"), head.npos);
  board_.Show("data: two\n\n");
  EXPECT_EQ(client.ReceiveUntil("data: two\n\n"), "data: two\n\n");
}

TEST_F(AdminEventsTest, SilenceIsFilledWithComments) {
  Start({.heartbeat = 5ms});
  AdminClient client(server_->address());
  client.Send(kWatch);
  const std::string two = "\r\n\r\n:\n\n:\n\n";
  EXPECT_NE(client.ReceiveUntil(two).find(two), std::string::npos);
}

TEST_F(AdminEventsTest, ASlowWatcherMissesWhatIsOldAndGetsTheNewest) {
  Start({});
  constexpr int kShown = 200;
  AdminClient client(server_->address());
  client.Send(kWatch);
  client.ReceiveUntil("\r\n\r\n");
  for (int i = 1; i <= kShown; ++i) {
    board_.Show(Concat("data: ", i, ' ', std::string(100'000, 'x'), "\n\n"));
    // A round trip, in which the stream looks for news.
    ASSERT_TRUE(IsServing());
  }
  const std::string all = client.ReceiveUntil(Concat("data: ", kShown, ' '));
  size_t received = 0;
  for (size_t at = 0; (at = all.find("data: ", at)) != all.npos; ++at) ++received;
  EXPECT_LT(received, kShown / 2);
}

TEST_F(AdminEventsTest, WhoIsOneTooManyIsToldSoAndTheOthersStay) {
  Start({.streams = 2});
  board_.Show("data: one\n\n");
  AdminClient first(server_->address());
  first.Send(kWatch);
  first.ReceiveUntil("data: one\n\n");
  {
    AdminClient second(server_->address());
    second.Send(kWatch);
    second.ReceiveUntil("data: one\n\n");
    const std::string refusal = Ask(kWatch);
    EXPECT_TRUE(refusal.starts_with("HTTP/1.1 503 Service Unavailable\r\n")) << refusal;
    EXPECT_TRUE(refusal.ends_with("close a page, or try again later\n")) << refusal;
  }
  WaitForWatchers(1);
  AdminClient third(server_->address());
  third.Send(kWatch);
  third.ReceiveUntil("data: one\n\n");
  board_.Show("data: two\n\n");
  EXPECT_EQ(first.ReceiveUntil("data: two\n\n"), "data: two\n\n");
}

TEST_F(AdminEventsTest, StreamsNeverTakeThePlaceOfOneAnswer) {
  Start({.connections = 1, .streams = 8});
  board_.Show(Concat("data: ", std::string(1 << 20, 'x'), "\n\n"));
  std::deque<AdminClient> watchers;
  for (int i = 0; i < 8; ++i) {
    watchers.emplace_back(server_->address());
    watchers.back().Send(kWatch);
    watchers.back().ReceiveUntil("\r\n\r\n");
  }
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(IsServing());
  EXPECT_EQ(board_.watchers, 8);
}

TEST_F(AdminEventsTest, AWatcherThatGoesOnTalkingIsClosed) {
  Start({.heartbeat = 1h});
  AdminClient client(server_->address());
  client.Send(kWatch);
  client.ReceiveUntil("\r\n\r\n");
  client.Send("and another thing");
  EXPECT_EQ(client.Receive(), "");
  WaitForWatchers(0);
}

TEST_F(AdminEventsTest, AWatcherThatTakesNothingIsClosed) {
  Start({.event_within = 20ms});
  board_.Show(Concat("data: ", std::string(8 << 20, 'x'), "\n\n"));
  AdminClient client(server_->address());
  client.Send(kWatch);
  client.ReceiveUntil("\r\n\r\n");
  WaitForWatchers(0);
}

}  // namespace
}  // namespace common
