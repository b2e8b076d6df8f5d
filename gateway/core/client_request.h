// The body of a client's request, scanned once without building a DOM: the few fields that decide
// where it goes, and where the model's name stands, so that it can be replaced in place.
// Pure. Views point into the body, which must outlive the value.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/core/endpoint.h"
#include "gateway/core/headers.h"
#include "gateway/core/json_scan.h"
#include "gateway/core/outcome.h"

namespace gateway {

// More JSON values than this in one body are refused: as a tree each takes up to a hundred bytes,
// and all the time that other requests of the same thread wait for. The longest conversations have
// some ten thousand.
inline constexpr size_t kMaxRequestValues = 1'000'000;

// What is to be written into a request's body, in place of what stands there: views of constants.
struct BodyEdit {
  size_t begin = 0;  // offsets in the body; equal: nothing is replaced
  size_t end = 0;
  std::string_view text;
};

struct RequestScan {
  std::string model;             // unescaped
  size_t model_value_begin = 0;  // offsets of the JSON string, quotes included
  size_t model_value_end = 0;
  bool is_stream = false;
  // Chat and text completions: what makes the provider count a stream's tokens
  // (`stream_options.include_usage`). Nothing when the client asks for that itself, or when the
  // request does not allow it: Azure counts nothing beside `data_sources`.
  std::optional<BodyEdit> usage_edit;
  // Header fields of the client's that belong to its dialect as the body does (`anthropic-beta`):
  // sent along when the request is relayed. Not from the body.
  std::vector<HeaderField> passed_headers;
};

// Scans `body` for `endpoint`. Failure kBadRequest, with `param` naming the field where there is
// one: not JSON, not an object, invalid UTF-8, nested deeper than kMaxJsonDepth, more than
// kMaxRequestValues, `model` missing, empty or no string, `stream` no boolean, the endpoint's own
// required field (messages, prompt, input) missing or of a wrong type, a deciding field given
// twice, `background: true` of a response.
std::variant<RequestScan, Failure> ScanRequest(Endpoint endpoint, std::string_view body);

}  // namespace gateway
