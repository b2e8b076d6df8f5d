#include "ratelimitd/core/reporters.h"

#include <algorithm>
#include <vector>

#include "ratelimitd/core/stable_hash.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kAliveAfterWord = std::chrono::seconds(60);

uint64_t IdOf(std::string_view name) {
  const uint64_t hash = StableHash(name);
  return hash == 0 ? 1 : hash;
}

void AddOnce(std::vector<uint64_t>& hosts, uint64_t host) {
  if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
}

bool IsAlive(const Reporter& reporter, MonotonicTime now) {
  return reporter.sessions > 0 || now - reporter.last_seen < kAliveAfterWord;
}

}  // namespace

Reporter* Reporters::Find(std::string_view name, MonotonicTime now) {
  auto found = reporters_.find(name);
  if (found == reporters_.end()) {
    if (!MakeRoom()) return nullptr;
    found = reporters_.emplace(std::string(name), std::make_unique<Reporter>()).first;
    found->second->id = IdOf(name);
    found->second->host_id = found->second->id;
  }
  found->second->last_seen = now;
  return found->second.get();
}

bool Reporters::MakeRoom() {
  if (reporters_.size() < max_reporters_) return true;
  auto oldest = reporters_.end();
  for (auto it = reporters_.begin(); it != reporters_.end(); ++it) {
    if (it->second->sessions > 0) continue;
    if (oldest == reporters_.end() || it->second->last_seen < oldest->second->last_seen) {
      oldest = it;
    }
  }
  if (oldest == reporters_.end()) return false;
  reporters_.erase(oldest);
  return true;
}

bool Reporters::BeginSession(std::string_view name, std::string_view host, MonotonicTime now) {
  Reporter* reporter = Find(name, now);
  if (reporter == nullptr) return false;
  if (!host.empty()) reporter->host_id = IdOf(host);
  ++reporter->sessions;
  return true;
}

uint64_t Reporters::EndSession(std::string_view name, MonotonicTime now) {
  const auto found = reporters_.find(name);
  if (found == reporters_.end() || found->second->sessions == 0) return 0;
  found->second->last_seen = now;
  return --found->second->sessions == 0 ? found->second->id : 0;
}

std::vector<uint64_t> Reporters::LiveHosts(MonotonicTime now, size_t most) const {
  std::vector<uint64_t> hosts;
  for (const auto& [name, reporter] : reporters_) {
    if (!IsAlive(*reporter, now)) continue;
    AddOnce(hosts, reporter->host_id);
    if (hosts.size() >= most) break;
  }
  return hosts;
}

void Reporters::LearnFleetHosts(std::vector<uint64_t> hosts, MonotonicTime now) {
  fleet_hosts_ = std::move(hosts);
  fleet_hosts_until_ = now + kAliveAfterWord;
}

void Reporters::OnClockStep(std::chrono::microseconds step) {
  for (auto& [name, reporter] : reporters_) reporter->last_seen += step;
  fleet_hosts_until_ += step;
}

int Reporters::CountLiveHosts(MonotonicTime now, int enough) const {
  const auto most = static_cast<size_t>(std::max(enough, 0));
  std::vector<uint64_t> hosts = LiveHosts(now, most);
  if (now < fleet_hosts_until_) {
    for (const uint64_t host : fleet_hosts_) {
      if (hosts.size() >= most) break;
      AddOnce(hosts, host);
    }
  }
  return static_cast<int>(hosts.size());
}

}  // namespace ratelimitd
