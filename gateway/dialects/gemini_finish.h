// What Gemini's finish reasons and block reasons mean. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "gateway/core/outcome.h"
#include "gateway/dialects/conversation.h"

namespace gateway {

struct GeminiFinish {
  // How the answer ended; nothing: it has failed, as `kind` says.
  std::optional<FinishReason> finish;
  FailureKind kind = FailureKind::kUpstreamError;
  bool is_known = true;
};

// A reason that no table knows is a failure: nobody can say that such an answer is whole.
GeminiFinish ReadGeminiFinish(std::string_view reason);

// A candidate that ended for `reason`, in the provider's words where it gave some.
Failure GeminiFinishFailure(FailureKind kind, std::string_view reason, std::string message);
// A prompt that was blocked.
Failure GeminiBlockFailure(std::string_view reason, std::string message);

}  // namespace gateway
