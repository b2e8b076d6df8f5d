// What can be asked: one configured provider (endpoint and credential) and its name for a model.
#pragma once

#include <compare>
#include <string>
#include <utility>

namespace common {

struct Target {
  std::string provider;
  std::string model;

  auto operator<=>(const Target&) const = default;

  template <typename H>
  friend H AbslHashValue(H state, const Target& target) {
    return H::combine(std::move(state), target.provider, target.model);
  }
};

}  // namespace common
