#include "gateway/core/sse.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/split_feed.h"

namespace gateway {
namespace {

struct OwnedEvent {
  std::string name;
  std::string data;
  std::string raw;
  bool has_data = false;
  bool has_stray_line = false;
  bool operator==(const OwnedEvent&) const = default;
};

OwnedEvent Own(const SseEvent& event) {
  return {std::string(event.name), std::string(event.data), std::string(event.raw), event.has_data,
          event.has_stray_line};
}

std::vector<OwnedEvent> ReadAll(const std::vector<std::string_view>& pieces) {
  SseReader reader(1 << 20);
  std::vector<OwnedEvent> events;
  for (const std::string_view piece : pieces) {
    // A copy of its own, so that a view kept too long is seen by the sanitizer.
    const std::string bytes(piece);
    reader.Feed(bytes);
    while (const auto event = reader.Next()) events.push_back(Own(*event));
  }
  if (const auto rest = reader.TakeRest()) events.push_back(Own(*rest));
  return events;
}

struct SseCase {
  const char* name;
  std::string input;
  std::vector<OwnedEvent> want;
};

TEST(SseReaderTest, SplitsEventsHoweverTheBytesAreCut) {
  const SseCase cases[] = {
      {"nothing", "", {}},
      {"one", "data: a\n\n", {{"", "a", "data: a\n\n", true, false}}},
      {"name, id and retry",
       "event: e\nid: 1\nretry: 5\ndata: a\n\n",
       {{"e", "a", "event: e\nid: 1\nretry: 5\ndata: a\n\n", true, false}}},
      {"several data lines",
       "data: a\ndata:\ndata: b\n\n",
       {{"", "a\n\nb", "data: a\ndata:\ndata: b\n\n", true, false}}},
      {"carriage return and line feed",
       "data: a\r\n\r\ndata: b\r\n\r\n",
       {{"", "a", "data: a\r\n\r\n", true, false}, {"", "b", "data: b\r\n\r\n", true, false}}},
      {"carriage returns alone",
       "data: a\r\rdata: b\r\r",
       {{"", "a", "data: a\r\r", true, false}, {"", "b", "data: b\r\r\n\n", true, false}}},
      {"comment", ": ping\n\n", {{"", "", ": ping\n\n", false, false}}},
      {"no space after the colon", "data:a\n\n", {{"", "a", "data:a\n\n", true, false}}},
      {"only one space is taken", "data:  a\n\n", {{"", " a", "data:  a\n\n", true, false}}},
      {"named without data", "event: ping\n\n", {{"ping", "", "event: ping\n\n", false, false}}},
      {"byte order mark",
       "\xEF\xBB\xBF"
       "data: a\n\n",
       {{"", "a",
         "\xEF\xBB\xBF"
         "data: a\n\n",
         true, false}}},
      {"unfinished",
       "data: a\n\ndata: b",
       {{"", "a", "data: a\n\n", true, false}, {"", "b", "data: b\n\n", true, false}}},
      {"no event stream", "{\"a\":\n1}", {{"", "", "{\"a\":\n1}\n\n", false, true}}},
      {"empty lines between",
       "\n\ndata: a\n\n\n",
       {{"", "", "\n", false, false},
        {"", "", "\n", false, false},
        {"", "a", "data: a\n\n", true, false},
        {"", "", "\n", false, false}}},
  };
  for (const SseCase& c : cases) {
    SCOPED_TRACE(c.name);
    candor_test::ForEverySplit(c.input, [&](const std::vector<std::string_view>& pieces) {
      EXPECT_TRUE(ReadAll(pieces) == c.want)
          << pieces.size() << " pieces, first of " << pieces.front().size() << " bytes";
    });
  }
}

TEST(SseReaderTest, AnUnfinishedEventIsBounded) {
  SseReader reader(16);
  reader.Feed("data: 0123456789");
  EXPECT_FALSE(reader.Next());
  EXPECT_FALSE(reader.IsOverLimit());
  reader.Feed("x");
  EXPECT_FALSE(reader.Next());
  EXPECT_TRUE(reader.IsOverLimit());
}

}  // namespace
}  // namespace gateway
