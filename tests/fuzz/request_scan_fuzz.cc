// In an accepted request the model can be replaced in place, and nothing else changes by it; with
// what makes a stream tell its tokens it is a request that asks for just that.
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
  if (!scan->usage_edit) return 0;
  const gateway::BodyEdit& edit = *scan->usage_edit;
  Require(edit.begin <= edit.end && edit.end <= body.size());
  std::string asking = body;
  asking.replace(edit.begin, edit.end - edit.begin, edit.text);
  const auto asked = gateway::ScanRequest(endpoint, asking);
  const auto* scan_asked = std::get_if<gateway::RequestScan>(&asked);
  Require(scan_asked != nullptr && !scan_asked->usage_edit && scan_asked->model == scan->model);
  return 0;
}
