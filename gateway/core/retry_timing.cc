#include "gateway/core/retry_timing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "gateway/core/ascii.h"
#include "gateway/core/time_text.h"

namespace gateway {
namespace {

using common::WallTime;
using std::chrono::milliseconds;
using OptionalWait = std::optional<milliseconds>;

// Nothing when the header is given twice.
OptionalWait ReadMilliseconds(const Headers& headers, std::string_view name) {
  if (headers.Count(name) != 1) return std::nullopt;
  return ParseMilliseconds(headers.Get(name));
}

// Seconds or a date; nothing when the header is given twice.
OptionalWait ReadSecondsOrDate(const Headers& headers, WallTime now) {
  if (headers.Count("retry-after") != 1) return std::nullopt;
  const std::string_view text = headers.Get("retry-after");
  if (const OptionalWait wait = ParseSeconds(text)) return wait;
  const auto moment = ParseHttpDate(text);
  return moment ? WaitUntil(*moment, now) : std::nullopt;
}

OptionalWait ReadRetryAfter(const Headers& headers, WallTime now) {
  const OptionalWait in_ms = LargerWait(ReadMilliseconds(headers, "retry-after-ms"),
                                        ReadMilliseconds(headers, "x-ms-retry-after-ms"));
  return LargerWait(ReadSecondsOrDate(headers, now), in_ms);
}

OptionalWait ReadStructuredFields(const ErrorBody& body) {
  OptionalWait wait;
  for (const std::string& delay : body.delays) wait = LargerWait(wait, ParseGoDuration(delay));
  for (const double seconds : body.wait_seconds) {
    if (!(seconds >= 0 && seconds <= std::chrono::duration<double>(kMaxPlausibleWait).count())) {
      continue;
    }
    wait = LargerWait(wait, milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000))));
  }
  return wait;
}

bool IsEmptyBucket(const Headers& headers, std::string_view remaining) {
  return ParseSeconds(headers.Get(remaining)) == std::chrono::seconds(0);
}

// Draft IETF RateLimit: "name";r=0;t=70.
OptionalWait ReadRateLimitField(std::string_view text) {
  OptionalWait wait;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view item = text.substr(0, comma);
    text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    const size_t reset = item.find(";t=");
    const size_t left = item.find(";r=0");
    if (reset == std::string_view::npos || left == std::string_view::npos) continue;
    if (left + 4 < item.size() && IsDigit(item[left + 4])) continue;
    std::string_view value = item.substr(reset + 3);
    value = value.substr(0, value.find(';'));
    wait = LargerWait(wait, ParseSeconds(value));
  }
  return wait;
}

struct Bucket {
  std::string_view remaining;
  std::string_view reset;
};

// Buckets whose reset is a moment, or seconds, until there is room again.
constexpr std::array kBuckets = {
    Bucket{"anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"},
    Bucket{"anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"},
    Bucket{"anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"},
    Bucket{"anthropic-ratelimit-output-tokens-remaining",
           "anthropic-ratelimit-output-tokens-reset"},
    Bucket{"x-ratelimit-remaining", "x-ratelimit-reset"},
    Bucket{"ratelimit-remaining", "ratelimit-reset"},
    Bucket{"ratelimitbysize-remaining", "ratelimitbysize-reset"}};

OptionalWait ReadBuckets(const Headers& headers, WallTime now) {
  OptionalWait wait;
  for (const Bucket& bucket : kBuckets) {
    if (headers.Count(bucket.reset) != 1 || !IsEmptyBucket(headers, bucket.remaining)) continue;
    wait = LargerWait(wait, ParseReset(headers.Get(bucket.reset), now));
  }
  return LargerWait(wait, ReadRateLimitField(headers.Get("ratelimit")));
}

OptionalWait ReadEpochs(const ErrorBody& body, WallTime now) {
  OptionalWait wait;
  for (const double epoch : body.reset_epochs) wait = LargerWait(wait, WaitUntilEpoch(epoch, now));
  return wait;
}

OptionalWait ReadWait(const Headers& headers, const ErrorBody& body, WallTime now) {
  if (const OptionalWait wait = ReadRetryAfter(headers, now)) return wait;
  if (const OptionalWait wait = ReadRetryAfter(body.copied_headers, now)) return wait;
  const OptionalWait in_text = ParseWaitInText(body.text, now);
  if (const OptionalWait wait = ReadStructuredFields(body)) return LargerWait(wait, in_text);
  OptionalWait moment = ReadBuckets(headers, now);
  if (!moment) moment = ReadBuckets(body.copied_headers, now);
  if (!moment) moment = ReadEpochs(body, now);
  return moment ? moment : in_text;
}

// Google's "GenerateRequestsPerMinutePerProjectPerModel" is one model's, like nearly every limit;
// without "model" in its name it is the project's.
bool IsQuotaOfModel(const std::string& quota_id) { return Contains(Lower(quota_id), "model"); }

// How providers without a machine-readable scope say that it is not the model that is busy.
constexpr std::array<std::string_view, 9> kAccountWords = {
    "your account",        "this account", "per account", "account-wide",
    "your api key",        "this api key", "trial key",   "max organization concurrency",
    "max organization rpm"};

LimitScope ReadScope(const ErrorBody& body) {
  if (!body.quota_ids.empty()) {
    return std::any_of(body.quota_ids.begin(), body.quota_ids.end(), IsQuotaOfModel)
               ? LimitScope::kTarget
               : LimitScope::kProvider;
  }
  const bool names_account =
      std::any_of(kAccountWords.begin(), kAccountWords.end(),
                  [&](std::string_view words) { return Contains(body.text, words); });
  return names_account && !Contains(body.text, "model") ? LimitScope::kProvider
                                                        : LimitScope::kTarget;
}

}  // namespace

RetryTiming ReadRetryTiming(const Headers& headers, const ErrorBody& body, WallTime received_at) {
  const WallTime now = ParseHttpDate(headers.Get("date")).value_or(received_at);
  return {.retry_after = ReadWait(headers, body, now), .scope = ReadScope(body)};
}

}  // namespace gateway
