#include "gateway/dialects/gemini_finish.h"

#include <array>
#include <utility>

#include "common/concat.h"

namespace gateway {
namespace {

// The status line of the answer has said success.
constexpr int kSuccess = 200;

struct FinishRow {
  std::string_view reason;
  std::optional<FinishReason> finish;
  FailureKind kind = FailureKind::kContentFilter;
};

constexpr FinishRow Filtered(std::string_view reason) {
  return {reason, FinishReason::kContentFilter};
}
constexpr FinishRow Failed(std::string_view reason, FailureKind kind) {
  return {reason, std::nullopt, kind};
}

// ai.google.dev/api/generate-content#FinishReason
constexpr std::array kFinishes = {
    FinishRow{"STOP", FinishReason::kStop},
    FinishRow{"MAX_TOKENS", FinishReason::kLength},
    Filtered("SAFETY"),
    Filtered("RECITATION"),
    Filtered("LANGUAGE"),
    Filtered("BLOCKLIST"),
    Filtered("PROHIBITED_CONTENT"),
    Filtered("SPII"),
    Filtered("MODEL_ARMOR"),
    Filtered("IMAGE_SAFETY"),
    Filtered("IMAGE_PROHIBITED_CONTENT"),
    Filtered("IMAGE_RECITATION"),
    Failed("MALFORMED_FUNCTION_CALL", FailureKind::kUpstreamMalformed),
    Failed("MALFORMED_RESPONSE", FailureKind::kUpstreamMalformed),
    Failed("UNEXPECTED_TOOL_CALL", FailureKind::kUpstreamMalformed),
    Failed("TOO_MANY_TOOL_CALLS", FailureKind::kUpstreamMalformed),
    Failed("NO_IMAGE", FailureKind::kUpstreamMalformed),
    Failed("IMAGE_OTHER", FailureKind::kUpstreamError),
    Failed("OTHER", FailureKind::kUpstreamError),
    // The request's history lacks a proof that the provider gave with it.
    Failed("MISSING_THOUGHT_SIGNATURE", FailureKind::kInvalidRequest),
};

Failure MakeGeminiFailure(FailureKind kind, std::string_view reason, std::string message) {
  Failure failure = MakeFailure(kind, std::move(message));
  failure.upstream_status = kSuccess;
  failure.provider_code = reason;
  return failure;
}

}  // namespace

GeminiFinish ReadGeminiFinish(std::string_view reason) {
  for (const FinishRow& row : kFinishes) {
    if (row.reason == reason) return {row.finish, row.kind};
  }
  return {.finish = std::nullopt, .kind = FailureKind::kUpstreamError, .is_known = false};
}

Failure GeminiFinishFailure(FailureKind kind, std::string_view reason, std::string message) {
  if (message.empty()) {
    message = common::Concat("The model ended without an answer: ", reason, ".");
  }
  return MakeGeminiFailure(kind, reason, std::move(message));
}

Failure GeminiBlockFailure(std::string_view reason, std::string message) {
  if (message.empty()) message = common::Concat("The prompt was blocked: ", reason, ".");
  return MakeGeminiFailure(FailureKind::kContentFilter, reason, std::move(message));
}

}  // namespace gateway
