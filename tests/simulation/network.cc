#include "tests/simulation/network.h"

#include <algorithm>

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr double kSlowShare = 0.01;  // slower than gateways wait
constexpr double kLostCalls = 0.02;  // of single calls; a session loses all or nothing

}  // namespace

nanoseconds Network::Latency() {
  const bool is_slow = !is_whole_ && random_.Happens(kSlowShare);
  return is_slow ? random_.Between(5ms, 60ms) : random_.Between(100us, 2ms);
}

bool Network::IsLost(const Connection& connection) {
  if (connection.is_cut || connection.is_stalled) return true;
  return connection.speech == Speech::kUnary && !is_whole_ && random_.Happens(kLostCalls);
}

MonotonicTime Network::Arrival(Speech speech, MonotonicTime& last) {
  const MonotonicTime arrival = events_.now() + Latency();
  if (speech == Speech::kUnary) return arrival;
  return last = std::max(last, arrival);
}

void Network::SendUp(const std::shared_ptr<Connection>& connection,
                     const pb::SessionRequest& message) {
  if (IsLost(*connection)) return;
  events_.At(Arrival(connection->speech, connection->last_up), [connection, message] {
    if (!connection->is_cut && !connection->is_stalled) connection->to_server(message);
  });
}

void Network::SendDown(const std::shared_ptr<Connection>& connection,
                       const pb::SessionResponse& message) {
  if (IsLost(*connection)) return;
  events_.At(Arrival(connection->speech, connection->last_down), [connection, message] {
    if (!connection->is_cut && !connection->is_stalled) connection->to_gateway(message);
  });
}

void Network::Cut(const std::shared_ptr<Connection>& connection) {
  if (connection->is_cut) return;
  connection->is_cut = true;
  events_.After(random_.Between(0ms, 200ms), [connection] { connection->tell_gateway_it_broke(); });
  // Without a word from the other side only keepalive notices.
  const nanoseconds notice =
      random_.Happens(0.5) ? random_.Between(0ms, 200ms) : random_.Between(1s, 15s);
  events_.After(notice, [connection] { connection->tell_server_it_broke(); });
}

void Network::Stall(const std::shared_ptr<Connection>& connection) {
  connection->is_stalled = true;
  events_.After(random_.Between(1s, 15s), [this, connection] { Cut(connection); });
}

}  // namespace simulation
