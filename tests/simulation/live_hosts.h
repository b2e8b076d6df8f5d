// Which hosts are alive as ratelimitd must see it: with a session, or heard of in the last minute.
// Replicas tell each other of theirs every second, and believe what they were told for a minute.
// Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "tests/simulation/told.h"

namespace simulation {

class LiveHosts {
 public:
  // A reporter as one replica knows it.
  using Name = std::pair<int, std::string>;

  void OnWord(const Name& name, MonotonicTime now) {
    const auto [known, is_new] = reporters_.try_emplace(name);
    Reporter& reporter = known->second;
    if (is_new) reporter.host = name.second;
    // The others may have forgotten one that was silent for long.
    const bool was_silent = reporter.sessions == 0 && now - reporter.last_word > kBelieved / 2;
    if (is_new || was_silent) reporter.first_word = now;
    reporter.last_word = now;
  }
  void OnSession(const Name& name, const std::string& host, MonotonicTime now) {
    OnWord(name, now);
    Reporter& known = reporters_[name];
    if (!host.empty()) known.host = host;
    ++known.sessions;
  }
  // Returns whether it was the reporter's last session there.
  bool OnSessionEnded(const Name& name, MonotonicTime now) {
    OnWord(name, now);
    return --reporters_[name].sessions == 0;
  }
  // The replica is gone, and with it what it knew: of its hosts there is only what it had told.
  void Forget(int replica, MonotonicTime now, milliseconds news_takes) {
    for (auto& [name, reporter] : reporters_) {
      if (name.first != replica) continue;
      reporter.sessions = 0;
      reporter.is_hearsay = true;
      reporter.is_lost |= now - reporter.first_word < news_takes;
    }
  }

  // How many every replica knows of, and how many one of them may still believe in. `news_takes`:
  // how long it may take until all know, 0 for one that is alone.
  struct Counts {
    int least = 0;
    int most = 0;
  };
  Counts Count(MonotonicTime now, milliseconds news_takes) const {
    std::set<std::string> surely, perhaps;
    for (const auto& [name, reporter] : reporters_) {
      const bool is_alive = reporter.sessions > 0 || now - reporter.last_word < kBelieved;
      // A dead process has told of the host a little before its last word.
      const bool is_fresh =
          reporter.sessions > 0 || now - reporter.last_word < kBelieved - 3 * news_takes;
      const bool is_known = !reporter.is_lost && now - reporter.first_word >= news_takes;
      if (is_fresh && is_known) surely.insert(reporter.host);
      const bool was_alive = now - reporter.last_word < 3 * kBelieved && news_takes.count() > 0;
      if (is_alive || was_alive) perhaps.insert(reporter.host);
    }
    return {static_cast<int>(surely.size()), static_cast<int>(perhaps.size())};
  }
  // What replicas had told each other may be lost: all is news again, but for what nobody is left
  // to tell.
  void ForgetNews(MonotonicTime now) {
    for (auto& [name, reporter] : reporters_) {
      reporter.first_word = now;
      reporter.is_lost = reporter.is_hearsay;
    }
  }
  void Clear() { reporters_.clear(); }

 private:
  static constexpr milliseconds kBelieved = std::chrono::seconds(60);

  struct Reporter {
    std::string host;
    int sessions = 0;
    MonotonicTime first_word;
    MonotonicTime last_word;
    bool is_hearsay = false;  // of a replica that is gone
    bool is_lost = false;     // perhaps it had told nobody, or they have lost it, too
  };
  std::map<Name, Reporter> reporters_;
};

}  // namespace simulation
