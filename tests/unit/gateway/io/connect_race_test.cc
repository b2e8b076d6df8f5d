#include "gateway/io/connect_race.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <optional>
#include <vector>

namespace {

using namespace std::chrono_literals;
using boost::asio::ip::make_address;
using boost::asio::ip::tcp;
using boost::system::error_code;
using gateway::AlternateFamilies;
using gateway::ConnectRace;

tcp::endpoint At(const char* address, uint16_t port) { return {make_address(address), port}; }

class ConnectRaceTest : public testing::Test {
 protected:
  // A host that swallows whoever wants to connect: its queue is full.
  tcp::endpoint BlackHole() {
    tcp::acceptor& full = acceptors_.emplace_back(context_, tcp::v4());
    full.bind(At("127.0.0.1", 0));
    full.listen(0);
    for (int i = 0; i < 8; ++i) {
      tcp::socket& waiting = waiting_.emplace_back(context_);
      waiting.async_connect(full.local_endpoint(), [](error_code) {});
    }
    return full.local_endpoint();
  }
  tcp::endpoint Listener() {
    tcp::acceptor& acceptor = acceptors_.emplace_back(context_, At("127.0.0.1", 0));
    return acceptor.local_endpoint();
  }
  tcp::endpoint NobodyThere() {
    tcp::acceptor& silent = acceptors_.emplace_back(context_, tcp::v4());
    silent.bind(At("127.0.0.1", 0));
    return silent.local_endpoint();
  }
  // Nothing: it has not ended within a time that no answer needs.
  std::optional<error_code> Race(const ConnectRace::Endpoints& endpoints) {
    std::optional<error_code> result;
    boost::asio::steady_timer at_last(context_, 20s);
    boost::asio::co_spawn(
        context_,
        [&]() -> boost::asio::awaitable<void> {
          result = co_await race_.Run(endpoints, winner_);
          context_.stop();
        },
        boost::asio::detached);
    at_last.async_wait([&](error_code) { context_.stop(); });
    context_.run();
    return result;
  }

  boost::asio::io_context context_{1};
  std::list<tcp::acceptor> acceptors_;
  std::list<tcp::socket> waiting_;
  ConnectRace race_{context_};
  tcp::socket winner_{context_};
};

TEST_F(ConnectRaceTest, AnAddressThatSwallowsPacketsIsNotWaitedFor) {
  const tcp::endpoint there = Listener();
  ASSERT_EQ(Race({BlackHole(), BlackHole(), there}), error_code());
  EXPECT_EQ(winner_.remote_endpoint(), there);
}

TEST_F(ConnectRaceTest, TheFirstAddressThatAnswersIsTaken) {
  const tcp::endpoint there = Listener();
  ASSERT_EQ(Race({there, Listener()}), error_code());
  EXPECT_EQ(winner_.remote_endpoint(), there);
}

TEST_F(ConnectRaceTest, AnAddressThatRefusesIsFollowedByTheNext) {
  const tcp::endpoint there = Listener();
  ASSERT_EQ(Race({NobodyThere(), NobodyThere(), there}), error_code());
  EXPECT_EQ(winner_.remote_endpoint(), there);
}

TEST_F(ConnectRaceTest, WhenAllRefuseItFails) {
  EXPECT_EQ(Race({NobodyThere(), NobodyThere()}), boost::asio::error::connection_refused);
  EXPECT_FALSE(winner_.is_open());
}

TEST_F(ConnectRaceTest, WhoeverCancelsIsNotMadeToWait) {
  boost::asio::steady_timer soon(context_, 1ms);
  soon.async_wait([&](error_code) { race_.Cancel(); });
  EXPECT_EQ(Race({BlackHole(), BlackHole()}), boost::asio::error::operation_aborted);
  EXPECT_FALSE(winner_.is_open());
}

TEST(AlternateFamiliesTest, TheFamiliesTakeTurnsAndTheFirstOneBegins) {
  const tcp::endpoint a4 = At("127.0.0.1", 1), b4 = At("127.0.0.2", 1), c4 = At("127.0.0.3", 1);
  const tcp::endpoint a6 = At("::1", 1), b6 = At("::2", 1);
  EXPECT_EQ(AlternateFamilies({a6, b6, a4, b4, c4}), (ConnectRace::Endpoints{a6, a4, b6, b4, c4}));
  EXPECT_EQ(AlternateFamilies({a4, b4, a6}), (ConnectRace::Endpoints{a4, a6, b4}));
  EXPECT_EQ(AlternateFamilies({a4}), (ConnectRace::Endpoints{a4}));
}

}  // namespace
