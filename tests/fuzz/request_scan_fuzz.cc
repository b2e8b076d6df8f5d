// In an accepted request the model can be replaced in place, and nothing else changes by it.
#include <string>
#include <variant>

#include "gateway/core/client_request.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using candor_test::Require;
  const auto input = candor_test::TakeInput(data, size);
  const auto endpoint = static_cast<gateway::Endpoint>(input.choice % 5);
  const std::string body(input.text);
  const auto result = gateway::ScanRequest(endpoint, body);
  const auto* scan = std::get_if<gateway::RequestScan>(&result);
  if (scan == nullptr) {
    Require(std::get<gateway::Failure>(result).kind == gateway::FailureKind::kBadRequest);
    return 0;
  }
  Require(scan->model_value_begin < scan->model_value_end && scan->model_value_end <= body.size());
  Require(body[scan->model_value_begin] == '"' && body[scan->model_value_end - 1] == '"');
  std::string replaced = body;
  replaced.replace(scan->model_value_begin, scan->model_value_end - scan->model_value_begin,
                   "\"another\"");
  const auto again = gateway::ScanRequest(endpoint, replaced);
  const auto* scan_again = std::get_if<gateway::RequestScan>(&again);
  Require(scan_again != nullptr && scan_again->model == "another");
  Require(scan_again->is_stream == scan->is_stream);
  Require(scan_again->model_value_begin == scan->model_value_begin);
  return 0;
}
