// How the auditor looks at ratelimitd: with the questions that people and gateways may ask, at the
// present moment, without a side effect.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ratelimitd/core/target_table.h"
#include "tests/simulation/breaker_watch.h"

namespace simulation {

class Witness {
 public:
  virtual ~Witness() = default;
  // An empty model: the provider itself. Nothing: ratelimitd does not know it.
  virtual std::optional<Look> LookAt(const common::Target& key) = 0;
  virtual ratelimitd::Verdict Peek(const std::string& reporter,
                                   const std::vector<common::Target>& targets) = 0;
  virtual ratelimitd::TableStats Stats() = 0;
};

}  // namespace simulation
