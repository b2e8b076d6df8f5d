// Several ratelimitd on one simulated Redis, and what befalls them: processes die, stop for a while
// and lose their link; the Redis goes away, comes back without its last second, or empty, or with
// another date. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/simulation/ratelimitd_service.h"
#include "tests/simulation/simulated_replica.h"

namespace simulation {

class SimulatedFleet final : public RatelimitdService, public Witness {
 public:
  // All must outlive it.
  SimulatedFleet(const Scenario& scenario, EventQueue& events, const common::Clock& clock,
                 Network& network, Auditor& auditor, Random random);

  bool IsUp() const override;
  bool HasReplicas() const override { return scenario_.replicas > 1; }
  void Start() override;
  void Restart(Random& random) override;
  void Break(Fault fault, Random& random) override;
  void StepClock(nanoseconds step) override;
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
  // Of the replica with the most.
  ratelimitd::TableStats Stats() override;

 private:
  using Slot = std::unique_ptr<SimulatedReplica>;  // null: the process is down

  void StartProcess(Slot& slot);
  void EndProcess(Slot& slot);
  // Null: none is up.
  SimulatedReplica* SomeReplica(Random& random);
  // One that can look at the store now; null: there is none.
  SimulatedReplica* Seeing();
  void GoAwayFor(nanoseconds length);
  void OnTrouble(Auditor::Loss loss);
  void EndDoubtIfCertain();
  void LetOthersAct(const SimulatedReplica& than);

  const Scenario& scenario_;
  EventQueue& events_;
  Auditor& auditor_;
  Random random_;
  candor_test::SimulatedRedis redis_;
  int away_ = 0;  // reasons for which the Redis is away
  ratelimitd::Metrics metrics_;
  SimulatedReplica::World world_;
  std::vector<Slot> slots_;
  int processes_ = 0;
  int strangers_ = 0;
};

}  // namespace simulation
