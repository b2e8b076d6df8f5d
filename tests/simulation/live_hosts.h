// Which hosts are alive as ratelimitd must see it: with a session, or heard of in the last minute.
// Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>

#include "tests/simulation/told.h"

namespace simulation {

class LiveHosts {
 public:
  void OnWord(const std::string& reporter, MonotonicTime now) {
    Reporter& known = reporters_[reporter];
    if (known.host.empty()) known.host = reporter;
    known.last_word = now;
  }
  void OnSession(const std::string& reporter, const std::string& host, MonotonicTime now) {
    OnWord(reporter, now);
    if (!host.empty()) reporters_[reporter].host = host;
    ++reporters_[reporter].sessions;
  }
  // Returns whether it was the reporter's last session.
  bool OnSessionEnded(const std::string& reporter, MonotonicTime now) {
    OnWord(reporter, now);
    return --reporters_[reporter].sessions == 0;
  }
  int Count(MonotonicTime now) const {
    std::set<std::string> hosts;
    for (const auto& [name, reporter] : reporters_) {
      const bool is_alive =
          reporter.sessions > 0 || now - reporter.last_word < std::chrono::seconds(60);
      if (is_alive) hosts.insert(reporter.host);
    }
    return static_cast<int>(hosts.size());
  }
  const std::string& HostOf(const std::string& reporter) { return reporters_[reporter].host; }
  void Clear() { reporters_.clear(); }

 private:
  struct Reporter {
    std::string host;
    int sessions = 0;
    MonotonicTime last_word;
  };
  std::map<std::string, Reporter> reporters_;
};

}  // namespace simulation
