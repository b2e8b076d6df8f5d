// However the bytes are cut, the client gets the same; a stream that is not complete never shows
// the marker of success.
#include <optional>
#include <string>
#include <vector>

#include "gateway/dialects/openai_chat_relay.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

struct Result {
  std::string client_bytes;
  bool is_committed = false;
  bool is_complete = false;
  std::optional<gateway::FailureKind> failure;
  int64_t tokens = 0;
  bool operator==(const Result&) const = default;
};

void Add(const gateway::StreamStep& step, Result& result) {
  Require(!step.failure || !step.is_complete);
  Require(step.client_bytes.empty() || step.is_committed);
  result.client_bytes += step.client_bytes;
  result.is_committed |= step.is_committed;
  result.is_complete |= step.is_complete;
  if (step.failure) result.failure = step.failure->kind;
}

Result ReadStream(const std::vector<std::string>& pieces) {
  gateway::OpenAiChatRelay reader;
  Result result;
  for (const std::string& piece : pieces) {
    if (!result.is_complete && !result.failure) Add(reader.Feed(piece), result);
  }
  if (!result.is_complete && !result.failure) Add(reader.Finish(), result);
  result.tokens = reader.TokensUsed();
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const std::string text(input.text);
  const size_t cut = candor_test::CutAt(input);
  const Result whole = ReadStream({text});
  Require(whole == ReadStream({text.substr(0, cut), text.substr(cut)}));
  Require(whole.is_complete != whole.failure.has_value());
  Require(whole.is_complete || whole.client_bytes.find("\ndata: [DONE]") == std::string::npos);
  return 0;
}
