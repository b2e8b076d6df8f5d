// How long a client gives its whole request: the header x-candor-timeout-ms. Counted from the first
// byte of the request at the gateway; the body, every wait, every attempt and the answer have to
// fit in. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <variant>

#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

namespace gateway {

inline constexpr std::string_view kTimeoutHeader = "x-candor-timeout-ms";
// A longer time is this time.
inline constexpr std::chrono::milliseconds kLongestTimeout = std::chrono::hours(24);

// Nothing when the client gives no time. Failure kBadRequest, naming the header: anything but one
// whole positive number in digits.
std::variant<std::optional<std::chrono::milliseconds>, Failure> ParseTimeout(
    const Headers& headers);

// The time has passed.
Failure DeadlineExceeded();

}  // namespace gateway
