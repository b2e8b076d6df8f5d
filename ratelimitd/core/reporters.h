// The instances that ask and report: whose reports were counted already, whose session lives, and
// how many hosts there are for a quorum. Bounded. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ratelimitd/core/attempt.h"
#include "ratelimitd/core/name_map.h"
#include "ratelimitd/core/sequence_memory.h"

namespace ratelimitd {

struct Reporter {
  uint64_t id = 0;       // never 0
  uint64_t host_id = 0;  // equal for the reporters of one host
  int sessions = 0;
  MonotonicTime last_seen;
  SequenceMemory reports;
};

class Reporters {
 public:
  explicit Reporters(size_t max_reporters) : max_reporters_(max_reporters) {}

  // The reporter, made if need be in the place of the one without session that was silent longest.
  // Null: the table is full of reporters with sessions. Valid until the next call.
  Reporter* Find(std::string_view name, MonotonicTime now);

  // `host` may be empty: the reporter is its own host. False: as Find returning null.
  bool BeginSession(std::string_view name, std::string_view host, MonotonicTime now);
  // Returns the reporter's id when this was its last session, else 0.
  uint64_t EndSession(std::string_view name, MonotonicTime now);

  // Hosts with a session, or heard of in the last minute, here or at another replica; at most
  // `enough` are counted.
  int CountLiveHosts(MonotonicTime now, int enough) const;
  // Those of them that are known here, at most `most`.
  std::vector<uint64_t> LiveHosts(MonotonicTime now, size_t most) const;
  // Those that all replicas know; believed for a minute.
  void LearnFleetHosts(std::vector<uint64_t> hosts, MonotonicTime now);
  // The clock was moved by `step`.
  void OnClockStep(std::chrono::microseconds step);
  size_t size() const { return reporters_.size(); }

 private:
  bool MakeRoom();

  size_t max_reporters_;
  NameMap<std::unique_ptr<Reporter>> reporters_;
  std::vector<uint64_t> fleet_hosts_;
  MonotonicTime fleet_hosts_until_;
};

}  // namespace ratelimitd
