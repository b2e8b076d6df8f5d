// What an error answer means, whatever provider or relay it comes from. Structured words decide;
// wording does where a provider offers nothing else; the status is the evidence that is left. Pure.
#pragma once

#include "common/clock.h"
#include "gateway/core/error_body.h"
#include "gateway/core/headers.h"
#include "gateway/core/outcome.h"

namespace gateway {

// `status` is the one on the wire: 2xx when the error came under a success or inside a stream.
// Always a provider's failure or a caller's mistake seen by the provider, never a kind of our own.
Failure ClassifyError(int status, const Headers& headers, ErrorBody body,
                      common::WallTime received_at);

// Whether an answer of this status, whose body broke off, is still to be taken at its word: a
// provider that blames itself says enough by status and headers.
bool HoldsWithoutBody(int status);

// A 2xx that is neither an answer nor an error: `what` ends the sentence "The provider's answer ".
Failure MalformedAnswer(int status, std::string_view what);

}  // namespace gateway
