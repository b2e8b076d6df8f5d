// Views of the table to messages of provider_health.proto.
#pragma once

#include <vector>

#include "candor/ratelimitd/v1/provider_health.pb.h"
#include "common/clock.h"
#include "ratelimitd/core/target_table.h"

namespace ratelimitd {

namespace pb = candor::ratelimitd::v1;

// Both clocks, read together: turns moments of one into dates for people.
struct ClockPair {
  common::MonotonicTime now;
  common::WallTime wall;
};

void BuildHealth(const HealthView& view, const ClockPair& clocks, pb::Health& message);

// Groups views, whose order is free, into providers ordered by name. A provider none of whose own
// views is among them has no health set.
std::vector<pb::Provider> BuildProviders(const std::vector<const HealthView*>& views,
                                         const ClockPair& clocks);

}  // namespace ratelimitd
