// What a provider's 2xx amounts to, whatever its dialect. Pure.
#pragma once

#include <cstdint>

#include "gateway/dialects/dialect.h"

namespace gateway {

enum class AnswerVerdict : uint8_t {
  kAnswer,   // the model answered
  kError,    // says that it failed: an error object, a failed status, `success: false`
  kEmpty,    // the right shape around nothing
  kNotJson,  // truncated, a page, no text at all
  kForeign,  // JSON of another shape
};

// The failure that a 2xx with any verdict but kAnswer is. Only what tells of an error is read as
// one; "The provider's answer is no complete JSON" is truer than the first kilobyte of it.
Failure ClassifyBadSuccess(const UpstreamReply& reply, AnswerVerdict verdict);

}  // namespace gateway
