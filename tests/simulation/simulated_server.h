// ratelimitd without its sockets and threads: the production's admission desk, shared table and
// state machine, on a simulated store and clock. It can crash and be started again. Everything that
// goes in and out passes by the auditor. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ratelimitd/io/admission_desk.h"
#include "tests/simulation/auditor.h"
#include "tests/simulation/ratelimitd_service.h"
#include "tests/simulation/simulated_store.h"

namespace simulation {

class SimulatedServer final : public RatelimitdService, public Witness {
 public:
  SimulatedServer(const Scenario& scenario, EventQueue& events, candor_test::FakeClock& clock,
                  Network& network, Auditor& auditor, Random random);
  ~SimulatedServer() override;

  bool IsUp() const override { return life_ != nullptr; }
  bool HasReplicas() const override { return false; }
  void Start() override;
  void Restart(Random& random) override;
  void Break(Fault fault, Random& random) override;
  void StepClock(nanoseconds step) override { clock_.StepWall(step); }
  void Heal() override;

  void Accept(const std::shared_ptr<Connection>& connection) override;
  void TakeStray(const std::string& reporter, Speech speech,
                 const pb::AttemptReport& report) override;
  void ReplayAll() override;
  void Flood(int targets, double limited) override;
  std::vector<int> Processes() const override;
  Footing Work(int process, const std::vector<ratelimitd::DocumentKey>& documents,
               const TableWork& work) override;
  void CheckMemory() override { auditor_.CheckMemory(); }
  void ExpectAdmitted(const std::string& reporter, const common::Target& target) override;

  std::optional<Look> LookAt(const common::Target& key) override;
  Verdict Peek(const std::string& reporter, const std::vector<common::Target>& targets) override;
  ratelimitd::TableStats Stats() override;

 private:
  struct Life;  // one process

  // What it has not stored is lost.
  void Crash();
  // As on SIGTERM: stores everything first.
  void Stop();

  void TakeFromSession(const std::shared_ptr<Connection>& connection,
                       const pb::SessionRequest& message);
  void TakeCalls(const std::shared_ptr<Connection>& connection, const pb::SessionRequest& message);
  void TakeHello(Connection& connection, const pb::SessionRequest& message);
  void TakeReport(const std::shared_ptr<Connection>& connection, const pb::AttemptReport& report);
  void TakeAsk(const std::shared_ptr<Connection>& connection, const pb::Ask& ask);
  void Acknowledge(const std::shared_ptr<Connection>& connection, uint64_t sequence_number,
                   AckStatus status, uint64_t ticket);
  void EndSession(Connection& connection);
  std::vector<std::string> LearnCredentials(
      const google::protobuf::RepeatedPtrField<pb::ProviderCredential>& credentials);
  void BreakConnections();

  const Scenario& scenario_;
  EventQueue& events_;
  candor_test::FakeClock& clock_;
  Network& network_;
  Auditor& auditor_;
  Random random_;
  Disk disk_;
  bool has_lost_state_ = false;
  ratelimitd::Metrics metrics_;
  std::unique_ptr<Life> life_;
  std::vector<std::shared_ptr<Connection>> connections_;  // shared with the gateways
  std::map<std::string, std::string> fingerprints_;       // as ratelimitd knows them
  std::vector<std::pair<std::string, pb::AttemptReport>> handled_;
  std::set<std::string> greeted_;  // reporters that have begun a session in this life
  int strangers_ = 0;
};

}  // namespace simulation
