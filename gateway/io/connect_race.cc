#include "gateway/io/connect_race.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <optional>
#include <utility>

#include "gateway/io/one_shot.h"

namespace gateway {

namespace asio = boost::asio;
using boost::asio::ip::tcp;
using boost::system::error_code;

ConnectRace::Endpoints AlternateFamilies(const ConnectRace::Endpoints& endpoints) {
  ConnectRace::Endpoints first, other, turns;
  for (const tcp::endpoint& endpoint : endpoints) {
    const bool is_first = endpoint.protocol() == endpoints.front().protocol();
    (is_first ? first : other).push_back(endpoint);
  }
  for (size_t i = 0; i < std::max(first.size(), other.size()); ++i) {
    if (i < first.size()) turns.push_back(first[i]);
    if (i < other.size()) turns.push_back(other[i]);
  }
  return turns;
}

struct ConnectRace::State : std::enable_shared_from_this<State> {
  explicit State(asio::io_context& the_context) : context(the_context), next_due(the_context) {}

  bool HasNext() const { return next < endpoints.size(); }

  void StartNext() {
    tcp::socket& attempt = attempts.emplace_back(context);
    ++running;
    attempt.async_connect(endpoints[next++],
                          [self = shared_from_this(), &attempt](error_code error) {
                            self->OnAttempt(attempt, error);
                          });
    if (!HasNext()) return;
    next_due.expires_after(kNextAfter);
    next_due.async_wait([self = shared_from_this()](error_code error) {
      if (!error && !self->is_over && self->HasNext()) self->StartNext();
    });
  }

  void OnAttempt(tcp::socket& attempt, error_code error) {
    --running;
    if (is_over) return;
    if (!error) {
      *winner = std::move(attempt);
      return End(error);
    }
    error_code ignored;
    attempt.close(ignored);
    if (HasNext()) return StartNext();
    if (running == 0) End(error);
  }

  void End(error_code result) {
    Stop();
    done.Deliver(result);
  }

  void Stop() {
    is_over = true;
    next_due.cancel();
    error_code ignored;
    for (tcp::socket& attempt : attempts) attempt.close(ignored);
  }

  asio::io_context& context;
  asio::steady_timer next_due;
  Endpoints endpoints;
  size_t next = 0;
  std::list<tcp::socket> attempts;
  int running = 0;
  tcp::socket* winner = nullptr;
  bool is_over = false;
  OneShot<std::optional<error_code>> done;  // an error alone would be thrown
};

ConnectRace::ConnectRace(asio::io_context& context) : state_(std::make_shared<State>(context)) {}

ConnectRace::~ConnectRace() {
  if (!state_->is_over) state_->Stop();
}

asio::awaitable<error_code> ConnectRace::Run(const Endpoints& endpoints, tcp::socket& winner) {
  state_->endpoints = AlternateFamilies(endpoints);
  state_->winner = &winner;
  state_->StartNext();
  co_return *co_await state_->done.Wait();
}

void ConnectRace::Cancel() {
  if (state_->is_over) return;
  state_->Stop();
  // Not from within: whoever cancels must not be ended meanwhile.
  asio::post(state_->context,
             [state = state_] { state->done.Deliver(asio::error::operation_aborted); });
}

}  // namespace gateway
