// One process of a fleet without its sockets and threads: the production's desk, runner and state
// machine on a link to the simulated Redis. What comes in waits in its queue and is decided in
// batches. Not thread-safe; what it has begun and is still under way outlives it.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ratelimitd/io/admission_desk.h"
#include "ratelimitd/io/fleet_worker.h"
#include "ratelimitd/store/memory_store.h"
#include "tests/simulation/audited_job.h"
#include "tests/simulation/network.h"
#include "tests/simulation/ratelimitd_service.h"
#include "tests/simulation/redis_link.h"
#include "tests/simulation/server_side.h"

namespace simulation {

class SimulatedReplica final : public ratelimitd::FleetQueue {
 public:
  // What all of them are in. Outlives them.
  struct World {
    const Scenario& scenario;
    EventQueue& events;
    const common::Clock& clock;
    Network& network;
    Auditor& auditor;
    candor_test::SimulatedRedis& redis;
    ratelimitd::Metrics& metrics;
    std::map<std::string, std::string> fingerprints;  // as the fleet knows them
    bool has_doubted = false;                         // so that it may know others
    bool is_whole = false;                            // nothing fails any more
    int troubles = 0;                                 // failed operations so far
    // How far the clock of the Redis is ahead of the simulation's.
    nanoseconds Ahead() const {
      return clock.Wall().time_since_epoch() + redis.step - clock.Monotonic().time_since_epoch();
    }
    std::function<void()> on_trouble;
    std::function<void(const SimulatedReplica& than)> let_others_act;
    std::function<void()> on_refreshed;
  };

  // `process` is its number, from 1.
  SimulatedReplica(World& world, int process, Random random);
  ~SimulatedReplica() override;

  int process() const { return process_; }
  // Writes what it alone knows, as on SIGTERM.
  void Flush() { runner_.Flush(); }
  void PauseFor(nanoseconds length) {
    paused_until_ = std::max(paused_until_, world_.events.now() + length);
  }
  RedisLink& link() { return link_; }
  bool IsBusy() const { return is_running_; }
  bool IsPaused() const { return paused_until_ > world_.events.now(); }
  // Decides what waits, now.
  void RunQueue();
  // Whether it has read everything since the last trouble, and told all it knew.
  bool IsCertain() const;

  // Takes a session; breaks it when the process goes.
  void Accept(const std::shared_ptr<Connection>& connection);
  void TakeCalls(const std::shared_ptr<Connection>& connection, const pb::SessionRequest& message);
  bool HasGreeted(const std::string& reporter) const { return greeted_.contains(reporter); }
  void TakeReport(const std::shared_ptr<Connection>& connection, const pb::AttemptReport& report);
  void ReplayAll();
  // An ask that nobody judges; what becomes of a granted attempt, if it is to be reported.
  void TakeStrangersAsk(const std::string& target, std::optional<milliseconds> limited_for);

  // What somebody does here by himself.
  Footing Work(const std::vector<ratelimitd::DocumentKey>& documents,
               const RatelimitdService::TableWork& work);

  // As it would be decided here now.
  std::optional<Look> LookAt(const common::Target& key);
  Verdict Peek(const std::string& reporter, const std::vector<common::Target>& targets);
  ratelimitd::TableStats Stats();

  void Submit(Task task) override;

 private:
  // Runs `event` later, if the process still lives.
  void After(nanoseconds wait, std::function<void()> event);
  void RunQueueSoon();
  void RunOne(ratelimitd::FleetJob& job);
  void OnRun();
  void Refresh();
  void FlushSoon();
  AuditedJob::Audit AuditOfAll(AuditedJob::Judge judge) const;
  AuditedJob::Judge Hear(std::function<void(RecordedWitness&, const ratelimitd::FleetJob&)> judge);

  void TakeFromSession(const std::shared_ptr<Connection>& connection,
                       const pb::SessionRequest& message);
  void TakeHello(Connection& connection, const pb::SessionRequest& message);
  void TakeAsk(const std::shared_ptr<Connection>& connection, const pb::Ask& ask);
  void Acknowledge(const std::shared_ptr<Connection>& connection, uint64_t sequence_number,
                   AckStatus status, uint64_t ticket);
  void EndSession(Connection& connection);
  std::vector<std::string> LearnCredentials(
      const google::protobuf::RepeatedPtrField<pb::ProviderCredential>& credentials);

  World& world_;
  const int process_;
  Random random_;
  ProcessClock clock_;
  RedisLink link_;
  ratelimitd::MemoryStore nothing_;
  ratelimitd::DurableWaiters waiters_;
  ratelimitd::SharedTable table_;
  ratelimitd::FleetRunner runner_;
  ratelimitd::AdmissionDesk desk_;

  std::vector<Task> queue_;
  std::optional<AuditedJob::Audit> next_audit_;  // of the job that is submitted next
  bool is_running_ = false;
  bool is_flush_due_ = false;
  MonotonicTime paused_until_;
  int troubles_at_refresh_ = -1;
  std::vector<std::shared_ptr<Connection>> connections_;  // shared with the gateways
  std::set<std::string> greeted_;
  std::vector<std::pair<std::string, pb::AttemptReport>> handled_;
  // Shared with the events under way, which must do nothing once it is false.
  std::shared_ptr<bool> is_alive_ = std::make_shared<bool>(true);
};

}  // namespace simulation
