#include "gateway/core/routes.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"

namespace gateway {
namespace {

// Draws the targets in [begin, end) in random order, each next one with a probability in proportion
// to its weight. One number feeds all draws: after a draw, its position within the drawn target's
// share is again uniform.
void DrawByWeight(std::vector<const RouteTarget*>& targets, size_t begin, size_t end,
                  double chance) {
  for (size_t at = begin; at + 1 < end; ++at) {
    double total = 0;
    for (size_t i = at; i < end; ++i) total += static_cast<double>(targets[i]->weight);
    double left = chance * total;
    size_t drawn = at;
    while (drawn + 1 < end && left >= static_cast<double>(targets[drawn]->weight)) {
      left -= static_cast<double>(targets[drawn]->weight);
      ++drawn;
    }
    chance = std::clamp(left / static_cast<double>(targets[drawn]->weight), 0.0, 0.999999);
    const auto first = targets.begin() + static_cast<ptrdiff_t>(at);
    const auto chosen = targets.begin() + static_cast<ptrdiff_t>(drawn);
    std::rotate(first, chosen, chosen + 1);
  }
}

}  // namespace

std::vector<const RouteTarget*> OrderTargets(const Route& route, double chance) {
  std::vector<const RouteTarget*> ordered;
  ordered.reserve(route.targets.size());
  for (const RouteTarget& target : route.targets) ordered.push_back(&target);
  size_t begin = 0;
  while (begin < ordered.size()) {
    size_t end = begin + 1;
    while (end < ordered.size() && ordered[end]->priority == ordered[begin]->priority &&
           ordered[begin]->weight > 0 && ordered[end]->weight > 0) {
      ++end;
    }
    DrawByWeight(ordered, begin, end, chance);
    begin = end;
  }
  return ordered;
}

bool MatchesGlob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool MayUse(const ClientEntry& client, std::string_view model) {
  return client.models.empty() ||
         std::any_of(client.models.begin(), client.models.end(),
                     [&](const std::string& pattern) { return MatchesGlob(pattern, model); });
}

KeyHash HashKey(std::string_view key) {
  KeyHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

std::optional<KeyHash> ParseKeyHash(std::string_view text) {
  KeyHash hash;
  if (text.size() != 2 * hash.size()) return std::nullopt;
  const auto is_hex = [](unsigned char c) { return std::isxdigit(c) != 0; };
  if (!std::all_of(text.begin(), text.end(), is_hex)) return std::nullopt;
  const std::string bytes = absl::HexStringToBytes(std::string(text));
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

Routes::Routes(std::vector<Route> routes, std::vector<ClientEntry> clients)
    : routes_(std::move(routes)), clients_(std::move(clients)) {
  for (size_t i = 0; i < routes_.size(); ++i) by_model_.emplace(routes_[i].model, i);
  for (size_t i = 0; i < clients_.size(); ++i) by_key_.emplace(clients_[i].key_sha256, i);
}

const Route* Routes::Find(std::string_view model) const {
  const auto found = by_model_.find(absl::string_view(model.data(), model.size()));
  return found == by_model_.end() ? nullptr : &routes_[found->second];
}

const ClientEntry* Routes::Authenticate(std::string_view key) const {
  const auto found = by_key_.find(HashKey(key));
  return found == by_key_.end() ? nullptr : &clients_[found->second];
}

}  // namespace gateway
