// The body of a client's request, scanned once without building a DOM: the few fields that decide
// where it goes, and where the model's name stands, so that it can be replaced in place.
// Pure. Views point into the body, which must outlive the value.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gateway/core/endpoint.h"
#include "gateway/core/headers.h"
#include "gateway/core/json_scan.h"
#include "gateway/core/outcome.h"

namespace gateway {

struct RequestScan {
  std::string model;             // unescaped
  size_t model_value_begin = 0;  // offsets of the JSON string, quotes included
  size_t model_value_end = 0;
  bool is_stream = false;
  // Header fields of the client's that belong to its dialect as the body does (`anthropic-beta`):
  // sent along when the request is relayed. Not from the body.
  std::vector<HeaderField> passed_headers;
};

// Scans `body` for `endpoint`. Failure kBadRequest, with `param` naming the field where there is
// one: not JSON, not an object, invalid UTF-8, nested deeper than kMaxJsonDepth, `model` missing,
// empty or no string, `stream` no boolean, the endpoint's own required field (messages, prompt,
// input) missing or of a wrong type, a deciding field given twice, `background: true` of a
// response.
std::variant<RequestScan, Failure> ScanRequest(Endpoint endpoint, std::string_view body);

}  // namespace gateway
