// What gateways connect to: one ratelimitd, or a fleet of them on a shared store.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ratelimitd/core/target_table.h"
#include "tests/simulation/network.h"
#include "tests/simulation/where.h"

namespace simulation {

class RatelimitdService {
 public:
  virtual ~RatelimitdService() = default;

  // Whether anybody would answer.
  virtual bool IsUp() const = 0;
  // Whether there is another one to go to when one is silent.
  virtual bool HasReplicas() const = 0;
  // Starts what is down.
  virtual void Start() = 0;
  // A process goes, one way or another, and comes back a little later.
  virtual void Restart(Random& random) = 0;
  // Something breaks for a while, or loses what it knew.
  enum class Fault : uint8_t {
    kStoreAway,
    // Of a fleet only:
    kLinkCut,   // one replica does not reach the store
    kFailover,  // the store goes away, and comes back without its last second
    kFlush,     // the store loses everything
    kPause,     // a replica does nothing for some seconds
  };
  virtual void Break(Fault fault, Random& random) = 0;
  // Somebody sets the clocks that ratelimitd does not believe in, or must not.
  virtual void StepClock(nanoseconds step) = 0;
  // Nothing fails any more.
  virtual void Heal() = 0;

  // Connects this end. The connection breaks when the process goes.
  virtual void Accept(const std::shared_ptr<Connection>& connection) = 0;
  // A report of this reporter that arrives by itself, outside of its connection.
  virtual void TakeStray(const std::string& reporter, Speech speech,
                         const pb::AttemptReport& report) = 0;
  // Every report that a living process has handled once more.
  virtual void ReplayAll() = 0;
  // Asks of somebody unknown for many unknown targets. Of their attempts `limited` meet a rate
  // limit.
  virtual void Flood(int targets, double limited) = 0;

  // The processes that can be spoken to now, by number.
  virtual std::vector<int> Processes() const = 0;
  // What somebody does at one of them by himself, with what all know of these documents. `work` may
  // be called again: the last time counts.
  using TableWork =
      std::function<void(ratelimitd::TargetTable& table, const ratelimitd::Moment& moment)>;
  virtual Footing Work(int process, const std::vector<ratelimitd::DocumentKey>& documents,
                       const TableWork& work) = 0;

  virtual void CheckMemory() = 0;
  // Everything has been whole for long: whoever asks anybody for this target is admitted.
  virtual void ExpectAdmitted(const std::string& reporter, const common::Target& target) = 0;
};

}  // namespace simulation
