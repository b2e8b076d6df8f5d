// What a grant carries and its report brings back: enough to find the target, to tell an attempt
// from before a restart, and to order the attempt against the provider's facts. Opaque to gateways;
// at most 25 bytes, mostly under 16.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ratelimitd/core/evidence.h"

namespace ratelimitd {

struct AdmissionToken {
  uint32_t life = 0;  // drawn at start: tokens of another life name nothing
  // The provider's when the target was not remembered; 0: neither was the provider.
  uint64_t target_id = 0;
  Order order = 0;
  // Of an admission that took from limits; all 0 otherwise.
  uint64_t client_id = 0;
  uint64_t lease_id = 0;
  uint64_t cost_tokens = 0;
};

std::string RenderToken(const AdmissionToken& token);
// Nothing: not a token of ours.
std::optional<AdmissionToken> ParseToken(std::string_view text);

}  // namespace ratelimitd
