// Waits and moments as providers write them: seconds, milliseconds, HTTP dates, Go and protobuf
// durations, RFC 3339, epochs, words. Untrusted numbers are bounded while they are read; what is
// negative, no number or implausible reads as nothing. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"

namespace gateway {

// Longer waits are absurd.
inline constexpr std::chrono::milliseconds kMaxPlausibleWait = std::chrono::hours(24 * 366);

// "20", "1.5" as seconds; rounded up to whole milliseconds.
std::optional<std::chrono::milliseconds> ParseSeconds(std::string_view text);
// "500", "172.799" as milliseconds; rounded up.
std::optional<std::chrono::milliseconds> ParseMilliseconds(std::string_view text);
// "7m12s", "1h8m25.745s", "6ms", "0.479417207s", "2d": units d, h, m, s, ms, us, ns in falling
// order, each at most once, a fraction on the last; rounded up.
std::optional<std::chrono::milliseconds> ParseGoDuration(std::string_view text);
// The other way round, in the words that clients parse: "250ms", "20s", "7m12s", "1h0m5s". From a
// second on rounded up to whole seconds; not negative.
std::string RenderUnitDuration(std::chrono::milliseconds wait);
// The three forms of RFC 9110 5.6.7.
std::optional<common::WallTime> ParseHttpDate(std::string_view text);
// "2026-01-02T03:04:05.678Z", also with a numeric offset.
std::optional<common::WallTime> ParseRfc3339(std::string_view text);
// The longest wait that a message names, for instance "try again in 7m12s", "retry after 26
// seconds", "regain access on 2026-01-02 at 00:00 UTC". `text` in lower case.
std::optional<std::chrono::milliseconds> ParseWaitInText(std::string_view text,
                                                         common::WallTime now);

// A reset as RFC 3339, as an epoch in seconds (10 digits) or milliseconds (13 digits), or, when it
// is a small number, as seconds from `now`.
std::optional<std::chrono::milliseconds> ParseReset(std::string_view text, common::WallTime now);

// From `now` until `moment`: 0 when it is past, nothing when it is absurdly far.
std::optional<std::chrono::milliseconds> WaitUntil(common::WallTime moment, common::WallTime now);
// The same for seconds or milliseconds since 1970.
std::optional<std::chrono::milliseconds> WaitUntilEpoch(double epoch, common::WallTime now);

// The larger of two waits either of which may be unknown.
std::optional<std::chrono::milliseconds> LargerWait(std::optional<std::chrono::milliseconds> a,
                                                    std::optional<std::chrono::milliseconds> b);

}  // namespace gateway
