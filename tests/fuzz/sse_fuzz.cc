// However the bytes are cut, the events are the same, and no byte is lost or added in them.
#include <string>
#include <vector>

#include "gateway/core/sse.h"
#include "tests/fuzz/fuzz_input.h"

namespace {

using candor_test::Require;

struct Events {
  std::vector<std::string> described;
  std::string raw;
};

void Add(const gateway::SseEvent& event, Events& events) {
  events.described.push_back(std::string(event.name) + '\0' + std::string(event.data) + '\0' +
                             std::string(event.raw));
  events.raw += event.raw;
}

Events ReadAll(const std::vector<std::string>& pieces) {
  gateway::SseReader reader(1 << 20);
  Events events;
  for (const std::string& piece : pieces) {
    reader.Feed(piece);
    while (const auto event = reader.Next()) Add(*event, events);
  }
  if (const auto rest = reader.TakeRest()) Add(*rest, events);
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const std::string text(input.text);
  const size_t cut = candor_test::CutAt(input);
  const Events whole = ReadAll({text});
  const Events split = ReadAll({text.substr(0, cut), text.substr(cut)});
  Require(whole.described == split.described);
  Require(whole.raw.starts_with(text) && whole.raw.size() <= text.size() + 2);
  return 0;
}
