// At which process of ratelimitd something was done or seen. Plain values.
#pragma once

#include <cstdint>

namespace simulation {

// kAlone: it decided by what it knew last.
enum class Footing : uint8_t { kShared, kAlone };

struct Where {
  int process = 0;
  Footing footing = Footing::kShared;
};

}  // namespace simulation
