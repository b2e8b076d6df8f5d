// The id that follows a request through headers, logs and error bodies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/clock.h"

namespace gateway {

// Whether a caller's own id may be used: 1 to 128 visible ASCII characters.
bool IsWellFormedRequestId(std::string_view id);

// A UUID version 7 (RFC 9562 section 5.7): sorts by time. `random` are two fresh 64-bit numbers.
std::string RenderRequestId(common::WallTime now, uint64_t random_high, uint64_t random_low);

}  // namespace gateway
