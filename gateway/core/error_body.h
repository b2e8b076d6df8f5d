// What a provider says in an error body, drawn out of every known shape of it: OpenAI's object,
// Mistral's and vLLM's flat one, Cloudflare's envelope, Google's (also inside an array), RFC 9457
// problems, FastAPI's `detail`, a string under `error`, MiniMax's `base_resp`, Apigee's `fault`,
// gRPC's status as JSON, OpenRouter's and other relays' errors inside errors, web pages and plain
// text. What it means is for failure_classifier and retry_timing. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/headers.h"
#include "gateway/core/small_json.h"

namespace gateway {

struct ErrorBody {
  enum class Form { kEmpty, kText, kPage, kJson };
  Form form = Form::kEmpty;

  // JSON that tells of an error, whatever the status around it: tells an error from a good answer
  // and from JSON that is something else.
  bool has_error = false;
  // For people, from the outermost layer that has one; a page's title. At most 8 KiB.
  std::string message;
  // The outermost words as they came; empty when absent or no text.
  std::string type;
  std::string code;
  std::string param;  // JSON text, or empty
  // Every machine-readable word, without case and separators ("rate_limit_exceeded" and
  // "RateLimitExceeded" are both "ratelimitexceeded"), the innermost layer first: it is nearest to
  // the cause. Within a layer the code goes before the type; of a word with a dot
  // ("Throttling.User") the part before it follows. Bare numbers that an envelope shows to be
  // Cloudflare's, MiniMax's or Zhipu's begin with that name; gRPC's are told by their names
  // ("unavailable").
  std::vector<std::string> words;
  // HTTP statuses named in fields, innermost first.
  std::vector<int> statuses;
  // All messages in lower case, for wording.
  std::string text;
  // The error object as JSON when the body is OpenAI's: an object `error` with a text `message`.
  std::string openai_error;

  // Time, as said; see retry_timing.
  std::vector<std::string> delays;   // "48s": Google's retryDelay, quotaResetDelay; retry_after
  std::vector<double> wait_seconds;  // estimated_time, retry_after
  std::vector<double> reset_epochs;  // resets_at
  Headers copied_headers;            // OpenRouter's metadata.headers
  // Google's QuotaFailure.
  std::vector<std::string> quota_ids;
  bool has_zero_quota = false;
};

// Never fails: what is no JSON is text.
ErrorBody ReadErrorBody(std::string_view body);

// For JSON that is parsed already.
ErrorBody ReadErrorJson(const Json& json);

// `word` in the form of ErrorBody::words.
std::string NormalizeWord(std::string_view word);

}  // namespace gateway
