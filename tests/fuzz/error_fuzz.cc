// Whatever an error answer holds, the client gets a status that is an error, a body of its dialect,
// timing that is positive, and no secret.
#include <array>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gateway/core/failure_classifier.h"
#include "gateway/core/failure_reply.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

const std::string kSecret = "opensesame42";

void CheckReply(const gateway::Failure& failure, gateway::Endpoint endpoint) {
  const std::vector<gateway::AttemptRecord> attempts(1);
  const std::vector<gateway::RefusedTarget> refused;
  const std::vector<std::string> secrets = {kSecret};
  const gateway::ReplyContext context{.request_id = "r",
                                      .target = {},
                                      .attempts = attempts,
                                      .refused = refused,
                                      .admitted_after = std::nullopt,
                                      .secrets = secrets};
  const gateway::FailureReply reply = gateway::RenderFailure(failure, endpoint, context);
  Require(reply.status >= 400 && reply.status <= 599);
  Require(reply.body.find(kSecret) == std::string::npos);
  for (const gateway::HeaderField& field : reply.headers) {
    const bool is_wait = field.name.starts_with("retry-after");
    Require(!is_wait || (field.value[0] >= '1' && field.value[0] <= '9'));
  }
  const auto body = nlohmann::json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
  Require(body.is_object() && body["error"].is_object());
  Require(body["error"]["message"].is_string() && body["error"]["type"].is_string());
  const std::string event = gateway::RenderStreamFailure(failure, endpoint, context);
  Require(event.ends_with("\n\n") && event.find(kSecret) == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array kStatuses = {200, 307, 400, 401, 402, 403, 404, 408, 413,
                                    422, 429, 499, 500, 503, 520, 524, 529};
  const auto input = candor_test::TakeInput(data, size);
  gateway::Headers headers;
  headers.Add("x-amzn-errortype", input.text.substr(0, 20));
  const gateway::ErrorBody body = gateway::ReadErrorBody(input.text);
  const int status = kStatuses[input.choice % kStatuses.size()];
  const gateway::Failure failure = gateway::ClassifyError(status, headers, body, {});
  CheckReply(failure, gateway::Endpoint::kChatCompletions);
  CheckReply(failure, gateway::Endpoint::kResponses);
  CheckReply(failure, gateway::Endpoint::kMessages);
  return 0;
}
