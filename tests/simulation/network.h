// The wires between gateways and ratelimitd: they take time, break, and swallow messages. A session
// keeps its order; single calls overtake each other. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "candor/ratelimitd/v1/admission.pb.h"
#include "tests/simulation/event_queue.h"
#include "tests/simulation/random.h"
#include "tests/simulation/scenario.h"

namespace simulation {

namespace pb = candor::ratelimitd::v1;

// One stream of a session, or all the calls of a gateway that makes single ones. Shared by both
// ends and by what is under way.
struct Connection {
  Speech speech = Speech::kSession;
  std::string reporter;
  // What arrives at either end; set by the ends.
  std::function<void(const pb::SessionRequest&)> to_server;
  std::function<void(const pb::SessionResponse&)> to_gateway;
  std::function<void()> tell_server_it_broke;
  std::function<void()> tell_gateway_it_broke;

  bool is_greeted = false;  // ratelimitd has taken the hello
  bool is_cut = false;      // nothing arrives any more, and both ends learn of it
  bool is_stalled = false;  // nothing arrives any more, and nobody knows yet
  MonotonicTime last_up, last_down;
};

class Network {
 public:
  Network(EventQueue& events, Random random) : events_(events), random_(random) {}

  void SendUp(const std::shared_ptr<Connection>& connection, const pb::SessionRequest& message);
  void SendDown(const std::shared_ptr<Connection>& connection, const pb::SessionResponse& message);

  // Each end learns of it in its own time.
  void Cut(const std::shared_ptr<Connection>& connection);
  // Swallows everything, and breaks some seconds later.
  void Stall(const std::shared_ptr<Connection>& connection);
  // From now on everything arrives, quickly.
  void Heal() { is_whole_ = true; }

 private:
  nanoseconds Latency();
  bool IsLost(const Connection& connection);
  MonotonicTime Arrival(Speech speech, MonotonicTime& last);

  EventQueue& events_;
  Random random_;
  bool is_whole_ = false;
};

}  // namespace simulation
