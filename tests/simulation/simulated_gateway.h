// One thread of a gateway without its sockets: the production's exchange plan, memory of refusals,
// report queue and messages, driven by the simulation's events. It can die, permits and all, and be
// started again under a new name. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/core/exchange_plan.h"
#include "gateway/core/known_refusals.h"
#include "gateway/core/report_queue.h"
#include "tests/simulation/auditor.h"
#include "tests/simulation/fake_provider.h"
#include "tests/simulation/ratelimitd_service.h"

namespace simulation {

class SimulatedGateway {
 public:
  // What every gateway is in. All of it outlives them.
  struct World {
    const Scenario& scenario;
    EventQueue& events;
    Network& network;
    RatelimitdService& server;
    FakeProviders& providers;
    Auditor& auditor;
  };

  SimulatedGateway(const World& world, std::string host, int thread, Speech speech, Random random);

  void Start();
  void Die();
  bool IsAlive() const { return is_alive_; }
  // One client's request for the targets of a route.
  void Request(const std::vector<common::Target>& route);
  // Another credential of this provider is in use from now on.
  void UseCredential(const std::string& provider, const std::string& fingerprint);

  void set_egress(FakeProviders::Egress egress) { egress_ = egress; }
  const std::shared_ptr<Connection>& connection() const { return connection_; }
  const std::string& reporter() const { return reporter_; }

 private:
  struct Exchange {
    gateway::ExchangePlan plan;
    common::Target target;
    std::string token;
    std::shared_ptr<const Grant> grant;  // shared with the auditor
    MonotonicTime began;
  };
  using ExchangePtr = std::shared_ptr<Exchange>;  // shared by the events of one request
  struct PendingAsk {
    ExchangePtr exchange;
    std::vector<common::Target> targets;
    gateway::AskMode mode{};
    MonotonicTime due_at;
  };

  // Runs `event` later, unless the gateway dies before.
  void After(nanoseconds wait, std::function<void()> event);
  void Connect();
  void SendAsk(uint64_t id, const PendingAsk& pending);
  // Goes over to another replica, with everything that is not answered.
  void Switch();
  void OnBroken();
  bool IsAway() const;
  void FlushSoon();
  void Flush();
  void FillHello(pb::SessionHello& hello);
  void FillReports(pb::SessionRequest& message);
  void SendStrayLater(uint64_t sequence_number, const gateway::AttemptReport& report);

  void CarryOut(const ExchangePtr& exchange, gateway::ExchangeAction action);
  void Ask(const ExchangePtr& exchange, const gateway::AskAction& ask);
  void Deliver(const ExchangePtr& exchange, gateway::AdmissionVerdict verdict);
  void Attempt(const ExchangePtr& exchange, const gateway::AttemptAction& action);
  void OnAnswer(const ExchangePtr& exchange, const Answer& answer);
  void OnFailure(const ExchangePtr& exchange, gateway::Failure failure);
  void ReportFailure(const Exchange& exchange, const gateway::Failure& failure);
  void Report(const Exchange& exchange, gateway::AttemptReport report);
  void OnMessage(const pb::SessionResponse& message);
  void OnVerdict(const pb::Verdict& verdict);
  void OnAskDue(uint64_t correlation_id);
  void FailAllAsks();

  World world_;
  const std::string host_;
  const int thread_;
  const Speech speech_;
  Random random_;
  int incarnation_ = 0;
  bool is_alive_ = false;
  std::string reporter_;
  FakeProviders::Egress egress_ = FakeProviders::Egress::kAlive;
  std::map<std::string, std::string> fingerprints_;

  std::shared_ptr<Connection> connection_;  // shared with the network; null: there is none
  nanoseconds reconnect_delay_{0};
  bool is_stalled_ = false;
  bool is_flush_due_ = false;
  pb::SessionRequest outgoing_;
  uint64_t last_correlation_id_ = 0;
  std::map<uint64_t, PendingAsk> asks_;
  gateway::KnownRefusals known_refusals_;
  gateway::ReportQueue reports_;
  uint64_t last_sequence_number_ = 0;
};

}  // namespace simulation
