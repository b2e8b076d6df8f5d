// A 2xx is an answer or a failure with a status that says so; no prefix of an answer is one.
#include <string>

#include "gateway/dialects/dialect.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

bool IsAnswer(gateway::Endpoint endpoint, std::string_view body) {
  const gateway::Headers headers;
  const gateway::UpstreamReply reply{200, headers, body, {}};
  const gateway::Dialect* dialect = gateway::FindDialect("openai");
  const auto failure = dialect->ClassifyReply(endpoint, reply);
  Require(dialect->TokensUsed(endpoint, body) >= 0);
  Require(!failure || gateway::ClientStatus(*failure) >= 400);
  return !failure;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  constexpr gateway::Endpoint kEndpoints[] = {
      gateway::Endpoint::kChatCompletions, gateway::Endpoint::kCompletions,
      gateway::Endpoint::kEmbeddings, gateway::Endpoint::kResponses};
  const gateway::Endpoint endpoint = kEndpoints[input.choice % 4];
  if (!IsAnswer(endpoint, input.text)) return 0;
  // Behind the closing brace only white space may be missing.
  const size_t end = input.text.rfind('}');
  const std::string prefix(input.text.substr(0, end * input.choice / 256));
  Require(!IsAnswer(endpoint, prefix));
  return 0;
}
