// However a stream of a Responses API is cut, the client gets the same; one that is not complete
// never shows the event of success. A whole answer is one or a failure with a status that says so.
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "gateway/core/sse.h"
#include "gateway/dialects/dialect.h"
#include "tests/fuzz/read_stream.h"

namespace {

using candor_test::Require;

constexpr auto kEndpoint = gateway::Endpoint::kResponses;

candor_test::StreamResult Read(const std::vector<std::string_view>& pieces) {
  const auto reader =
      gateway::FindDialect("openai")->NewRelayedStream(kEndpoint, gateway::UsageChunk::kPassed);
  return candor_test::ReadSoundStream(*reader, pieces);
}

// Which of two members of one name counts is for nobody to say.
bool IsSuccess(std::string_view data) {
  constexpr std::string_view kType = "\"type\"";
  const bool is_clear = data.find(kType) == data.rfind(kType);
  const auto json = nlohmann::json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!is_clear || !json.is_object() || !json.contains("type")) return false;
  return json["type"] == "response.completed";
}

void CheckEnd(const candor_test::StreamResult& result) {
  gateway::SseReader reader(1 << 20);
  reader.Feed(result.client_bytes);
  while (const auto event = reader.Next()) {
    Require(result.is_complete || !event->has_data || !IsSuccess(event->data));
  }
}

void CheckWhole(std::string_view body) {
  const gateway::Headers headers;
  const auto failure =
      gateway::FindDialect("openai")->ClassifyReply(kEndpoint, {200, headers, body, {}});
  Require(!failure || gateway::ClientStatus(*failure) >= 400);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  CheckWhole(input.text);
  const candor_test::StreamResult whole = Read({input.text});
  Require(whole == Read(candor_test::CutInTwo(input)));
  CheckEnd(whole);
  return 0;
}
