#include "ratelimitd/core/client_limits.h"

#include <utility>

namespace ratelimitd {

void ClientLimits::Learn(std::string_view name, const LimitSettings& limits, size_t max_clients,
                         uint64_t new_id, MonotonicTime now) {
  if (Client* known = Find(name)) {
    known->settings = limits;
    return;
  }
  if (limits.IsUnlimited() || name.empty()) return;
  if (clients_.size() >= max_clients) ForgetIdle(now);
  if (clients_.size() >= max_clients) return;
  auto client = std::make_unique<Client>();
  client->name = name;
  client->id = new_id;
  client->settings = limits;
  by_id_[new_id] = client.get();
  clients_.emplace(std::string(name), std::move(client));
}

ClientLimits::Client* ClientLimits::Find(std::string_view name) const {
  if (name.empty() || clients_.empty()) return nullptr;
  const auto found = clients_.find(name);
  return found == clients_.end() ? nullptr : found->second.get();
}

void ClientLimits::ForgetIdle(MonotonicTime now) {
  absl::erase_if(clients_, [this, now](const auto& item) {
    if (!item.second->limits.IsIdle(now)) return false;
    by_id_.erase(item.second->id);
    return true;
  });
}

Breaker::View ClientLimits::Look(std::string_view name, int64_t cost_tokens, MonotonicTime now) {
  Client* client = Find(name);
  if (client == nullptr) return {};
  return client->limits.Look(client->settings, cost_tokens, RefusalReason::kClientLimit, now);
}

uint64_t ClientLimits::Take(std::string_view name, const LimitCost& cost,
                            const Limits::Lease& lease, MonotonicTime now) {
  Client* client = Find(name);
  if (client == nullptr) return 0;
  client->limits.Take(client->settings, cost, lease, now);
  Touch(*client);
  return client->id;
}

std::optional<LimitStatus> ClientLimits::Status(std::string_view name, MonotonicTime now) const {
  const Client* client = Find(name);
  if (client == nullptr || client->settings.IsUnlimited()) return std::nullopt;
  return client->limits.Status(client->settings, now);
}

void ClientLimits::Settle(uint64_t id, uint64_t lease_id, int64_t more_tokens, MonotonicTime now) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  found->second->limits.Settle(found->second->settings, lease_id, more_tokens, now);
  Touch(*found->second);
}

void ClientLimits::OnSessionEnded(uint64_t reporter_id, MonotonicTime lease_end) {
  for (auto& [name, client] : clients_) {
    if (!client->limits.HasLeaseOf(reporter_id)) continue;
    client->limits.OnSessionEnded(reporter_id, lease_end);
    Touch(*client);
  }
}

void ClientLimits::Touch(Client& client) {
  if (std::exchange(client.is_touched, true)) return;
  touched_.push_back(client.name);
}

std::vector<std::string> ClientLimits::TakeTouched() {
  for (const std::string& name : touched_) {
    if (Client* client = Find(name)) client->is_touched = false;
  }
  return std::exchange(touched_, {});
}

Limits* ClientLimits::LimitsOf(std::string_view name) {
  Client* client = Find(name);
  return client == nullptr ? nullptr : &client->limits;
}

const Limits* ClientLimits::LimitsOf(std::string_view name) const {
  const Client* client = Find(name);
  return client == nullptr ? nullptr : &client->limits;
}

std::string_view ClientLimits::NameOf(uint64_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? std::string_view() : std::string_view(found->second->name);
}

std::vector<std::string> ClientLimits::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, client] : clients_) names.push_back(name);
  return names;
}

}  // namespace ratelimitd
