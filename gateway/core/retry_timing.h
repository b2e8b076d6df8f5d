// What a provider said about time: headers, structured fields and message text, in every grammar
// seen (seconds, milliseconds, HTTP dates, Go and protobuf durations, RFC 3339, epochs, words), and
// in the order in which they are to be believed. Untrusted numbers are bounded while they are read.
// Pure.
//
// Absurd values say nothing: negative, empty, no number, two values in one header, more than a year
// ahead. A moment in the past means now, a wait of 0.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "common/clock.h"
#include "gateway/core/error_body.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

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
// The three forms of RFC 9110 5.6.7.
std::optional<common::WallTime> ParseHttpDate(std::string_view text);
// "2026-01-02T03:04:05.678Z", also with a numeric offset.
std::optional<common::WallTime> ParseRfc3339(std::string_view text);
// The longest wait that a message names, for instance "try again in 7m12s", "retry after 26
// seconds", "regain access on 2026-01-02 at 00:00 UTC". `text` in lower case.
std::optional<std::chrono::milliseconds> ParseWaitInText(std::string_view text,
                                                         common::WallTime now);

// For an error answer only: providers send retry-after on successes, where it means nothing.
//
// Order: 1. retry-after-ms and retry-after, the larger; 2. the same in the headers that a relay
// copied into its body; 3. structured fields (RetryInfo, estimated_time ...) and the text, the
// larger, since Google cuts the field to whole seconds; 4. the reset moment of a bucket with
// nothing remaining; 5. text alone. OpenAI's and Groq's x-ratelimit-reset-* are not read: they tell
// when the bucket is full again, hours after one more request fits. Azure's have no unit.
//
// Moments are relative to the response's own Date where it has a valid one, else to `received_at`.
RetryTiming ReadRetryTiming(const Headers& headers, const ErrorBody& body,
                            common::WallTime received_at);

}  // namespace gateway
