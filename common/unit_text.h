// Durations and sizes as people write them in configuration files.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace common {

// Parses "250ms", "5s", "15m", "24h", "35d" or a sum of them, larger units first ("1h30m"). Digits
// may have a fraction ("1.5s") as long as the result is a whole number of milliseconds. "0" alone
// needs no unit. Result in 0 to 10 years.
// InvalidArgument: empty, no or unknown unit, negative, finer than a millisecond, out of range.
absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text);

// Whole units, the largest first: "1h30m", "250ms", "0s". Parses back to the same value.
// `duration` is in 0 to 10 years.
std::string RenderDuration(std::chrono::milliseconds duration);

// Parses a size in bytes: "512", "16KiB", "32MiB", "1GiB"; also "KB", "MB", "GB" as powers of 1000.
// InvalidArgument: empty, unknown unit, negative, fraction, above 2^62.
absl::StatusOr<int64_t> ParseByteSize(std::string_view text);

}  // namespace common
