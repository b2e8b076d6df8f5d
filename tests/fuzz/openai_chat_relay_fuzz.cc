// However the bytes are cut, the client gets the same; a stream that is not complete never shows
// the marker of success.
#include <string>
#include <string_view>
#include <vector>

#include "gateway/dialects/openai_chat_relay.h"
#include "tests/fuzz/read_stream.h"

namespace {

using candor_test::Require;

candor_test::StreamResult Read(const std::vector<std::string_view>& pieces) {
  gateway::OpenAiChatRelay reader(gateway::UsageChunk::kPassed);
  return candor_test::ReadSoundStream(reader, pieces);
}

bool HasEndMarker(std::string_view stream) {
  gateway::SseReader reader(1 << 20);
  reader.Feed(stream);
  while (const auto event = reader.Next()) {
    if (event->has_data && gateway::IsDoneMarker(event->data)) return true;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const candor_test::StreamResult whole = Read({input.text});
  Require(whole == Read(candor_test::CutInTwo(input)));
  Require(whole.is_complete || !HasEndMarker(whole.client_bytes));
  return 0;
}
