#include "common/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace common {
namespace {

// Names beyond this resemble nothing; the bound keeps the work small.
constexpr size_t kMaxNameBytes = 64;

// How many single-character changes turn `from` into `to`.
size_t EditDistance(std::string_view from, std::string_view to) {
  std::vector<size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= from.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= to.size(); ++j) {
      const size_t replaced = diagonal + (from[i - 1] == to[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& known) {
  if (name.size() > kMaxNameBytes) return "";
  std::string nearest;
  size_t nearest_distance = kMaxNameBytes;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(name, candidate);
    const bool resembles = distance <= std::max<size_t>(2, candidate.size() / 3);
    if (!resembles || distance >= nearest_distance) continue;
    nearest = candidate;
    nearest_distance = distance;
  }
  return nearest;
}

}  // namespace common
