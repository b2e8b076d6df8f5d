// Checks a stream of the Responses API as a strict client would, and puts its response together.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/core/sse.h"

namespace candor_test {

using EventJson = nlohmann::ordered_json;

// The events of `stream` as values; each must be named by its own type.
inline std::vector<EventJson> ReadResponsesEvents(const std::string& stream) {
  gateway::SseReader reader(1 << 20);
  reader.Feed(stream);
  std::vector<EventJson> events;
  while (const auto event = reader.Next()) {
    EventJson json = EventJson::parse(event->data, nullptr, /*allow_exceptions=*/false);
    EXPECT_TRUE(json.is_object()) << event->data;
    if (!json.is_object()) continue;
    EXPECT_EQ(json.value("type", ""), std::string(event->name));
    events.push_back(std::move(json));
  }
  EXPECT_FALSE(reader.TakeRest().has_value()) << "half an event at the end";
  return events;
}

// Follows the items of a response from event to event.
class ResponsesChecker {
 public:
  void Take(const EventJson& event) {
    SCOPED_TRACE(event.dump());
    EXPECT_EQ(event["sequence_number"], next_++);
    EXPECT_FALSE(has_ended_) << "an event after the end";
    const std::string type = event["type"];
    if (type == "response.created" || type == "response.in_progress") {
      EXPECT_EQ(next_, type == "response.created" ? 1 : 2);
      EXPECT_EQ(event["response"]["status"], "in_progress");
      NoteId(event);
    } else if (type == "response.completed" || type == "response.incomplete") {
      TakeEnd(event, type.substr(std::string_view("response.").size()));
    } else if (type == "response.output_item.added") {
      EXPECT_EQ(event["output_index"], items_.size());
      EXPECT_EQ(event["item"]["status"], "in_progress");
      items_.push_back({event["item"], {}, false, ""});
    } else {
      TakeInItem(event, type);
    }
  }

  // Once everything was taken.
  void ExpectWhole() const { EXPECT_TRUE(has_ended_); }
  const EventJson& response() const { return response_; }

 private:
  struct Item {
    EventJson value;
    std::vector<std::string> texts;  // of contents or summaries, as streamed
    bool is_done = false;
    std::string arguments;
    bool is_part_open = false;
  };

  void NoteId(const EventJson& event) {
    const std::string id = event["response"]["id"];
    if (id_.empty()) id_ = id;
    EXPECT_EQ(id, id_);
  }

  void TakeInItem(const EventJson& event, const std::string& type) {
    const size_t index = event["output_index"];
    ASSERT_LT(index, items_.size());
    Item& item = items_[index];
    EXPECT_FALSE(item.is_done);
    if (type == "response.output_item.done") return TakeItemDone(event, item);
    EXPECT_EQ(event["item_id"], item.value["id"]);
    if (type.starts_with("response.function_call_arguments")) return TakeArguments(event, item);
    const std::string place = event.contains("summary_index") ? "summary_index" : "content_index";
    if (type.ends_with("part.added")) {
      EXPECT_FALSE(item.is_part_open);
      EXPECT_EQ(event[place], item.texts.size());
      item.texts.emplace_back();
      item.is_part_open = true;
      return;
    }
    ASSERT_TRUE(item.is_part_open);
    EXPECT_EQ(event[place], item.texts.size() - 1);
    std::string& text = item.texts.back();
    if (type.ends_with(".delta")) {
      text += event["delta"].get<std::string>();
    } else if (type.ends_with("part.done")) {
      EXPECT_EQ(TextOf(event["part"]), text);
      item.is_part_open = false;
    } else {
      EXPECT_EQ(TextOf(event), text);
    }
  }

  void TakeArguments(const EventJson& event, Item& item) {
    EXPECT_EQ(item.value["type"], "function_call");
    if (event.contains("delta")) {
      item.arguments += event["delta"].get<std::string>();
    } else {
      EXPECT_EQ(event["arguments"], item.arguments);
    }
  }

  void TakeItemDone(const EventJson& event, Item& item) {
    EXPECT_FALSE(item.is_part_open);
    EXPECT_EQ(event["item"]["id"], item.value["id"]);
    EXPECT_EQ(event["item"]["type"], item.value["type"]);
    item.value = event["item"];
    item.is_done = true;
    if (item.value["type"] == "function_call") {
      EXPECT_EQ(item.value["arguments"], item.arguments);
      return;
    }
    std::vector<std::string> texts;
    for (const char* name : {"summary", "content"}) {
      if (!item.value.contains(name)) continue;
      for (const EventJson& part : item.value[name]) texts.push_back(TextOf(part));
    }
    EXPECT_EQ(texts, item.texts);
  }

  void TakeEnd(const EventJson& event, const std::string& status) {
    has_ended_ = true;
    NoteId(event);
    response_ = event["response"];
    EXPECT_EQ(response_["status"], status);
    ASSERT_EQ(response_["output"].size(), items_.size());
    for (size_t i = 0; i < items_.size(); ++i) {
      EXPECT_TRUE(items_[i].is_done);
      EXPECT_EQ(response_["output"][i].dump(), items_[i].value.dump());
    }
  }

  static std::string TextOf(const EventJson& part) {
    return part.value("text", part.value("refusal", std::string()));
  }

  int64_t next_ = 0;
  std::string id_;
  std::vector<Item> items_;
  EventJson response_;
  bool has_ended_ = false;
};

}  // namespace candor_test
