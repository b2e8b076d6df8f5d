// What a provider said about time: in headers, structured fields and message text, in the order in
// which they are to be believed. Pure.
//
// Absurd values say nothing: negative, empty, no number, two values in one header, more than a year
// ahead. A moment in the past means now, a wait of 0.
#pragma once

#include "common/clock.h"
#include "gateway/core/error_body.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

namespace gateway {

// For an error answer only: providers send retry-after on successes, where it means nothing.
//
// Order: 1. retry-after-ms and retry-after, the larger; 2. the same in the headers that a relay
// copied into its body; 3. structured fields (RetryInfo, estimated_time ...) and the text, the
// larger, since Google cuts the field to whole seconds; 4. the reset moment of a bucket with
// nothing remaining; 5. text alone. OpenAI's and Groq's x-ratelimit-reset-* are not read: they tell
// when the bucket is full again, hours after one more request fits. Azure's have no unit.
//
// The scope is the target's unless the provider says that its limit is the whole account's:
// Google's quota ids name the model where it is one model's, others say so in words only.
//
// Moments are relative to the response's own Date where it has a valid one, else to `received_at`.
RetryTiming ReadRetryTiming(const Headers& headers, const ErrorBody& body,
                            common::WallTime received_at);

}  // namespace gateway
