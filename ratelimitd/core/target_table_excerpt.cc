// The part of the table that people should see first.
#include <algorithm>

#include "absl/strings/ascii.h"
#include "ratelimitd/core/target_entries.h"

namespace ratelimitd {
namespace {

bool ContainsIgnoringCase(std::string_view text, std::string_view lower_case) {
  const auto is_same = [](char a, char b) {
    return absl::ascii_tolower(static_cast<unsigned char>(a)) == b;
  };
  return std::search(text.begin(), text.end(), lower_case.begin(), lower_case.end(), is_same) !=
         text.end();
}

}  // namespace

bool TargetTable::Ranked::operator<(const Ranked& other) const {
  if (state != other.state) return state > other.state;
  if (provider != other.provider) return provider->name < other.provider->name;
  return target != nullptr && other.target != nullptr && target->model < other.target->model;
}

std::vector<TargetTable::Ranked> TargetTable::Rank(std::string_view filter, const Moment& moment,
                                                   TableExcerpt& excerpt) {
  std::vector<Ranked> ranked;
  std::string wanted(filter);
  for (char& c : wanted) c = absl::ascii_tolower(static_cast<unsigned char>(c));
  std::string path;
  for (auto& [name, provider] : providers_) {
    Advance(*provider, moment);
    const HealthState of_provider = provider->health.StateAt(moment.now);
    const size_t before = ranked.size();
    if (provider->targets.empty() && ContainsIgnoringCase(name, wanted)) {
      ranked.push_back({of_provider, provider.get(), nullptr});
    }
    for (auto& [model, target] : provider->targets) {
      Advance(*target, moment);
      path.assign(name).append("/").append(model);
      if (!ContainsIgnoringCase(path, wanted)) continue;
      // By number an operator's word, on either level, comes before what was learned.
      ranked.push_back({std::max(of_provider, target->health.StateAt(moment.now)), provider.get(),
                        target.get()});
    }
    if (ranked.size() > before) ++excerpt.providers;
  }
  return ranked;
}

TableExcerpt TargetTable::Excerpt(std::string_view filter, size_t most, const Moment& moment) {
  TableExcerpt excerpt;
  std::vector<Ranked> ranked = Rank(filter, moment, excerpt);
  for (const Ranked& item : ranked) ++excerpt.targets_by_state[static_cast<size_t>(item.state)];
  const size_t shown = std::min(most, ranked.size());
  std::partial_sort(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(shown),
                    ranked.end());
  excerpt.targets_left_out = ranked.size() - shown;
  ranked.resize(shown);
  absl::flat_hash_set<const Provider*> seen;
  for (const Ranked& item : ranked) {
    if (seen.insert(item.provider).second) {
      excerpt.views.push_back(MakeView(*item.provider, nullptr, moment.now));
    }
    if (item.target != nullptr) {
      excerpt.views.push_back(MakeView(*item.provider, item.target, moment.now));
    }
  }
  excerpt.version = view_version_;
  return excerpt;
}

}  // namespace ratelimitd
