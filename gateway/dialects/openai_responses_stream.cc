#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/concat.h"
#include "common/json_text.h"
#include "gateway/dialects/openai_chat_values.h"
#include "gateway/dialects/openai_responses.h"
#include "gateway/dialects/openai_responses_items.h"

namespace gateway {
namespace {

using Kind = ResponseItem::Kind;

// Writes the events: each has a type, a number and members.
class EventWriter {
 public:
  void Write(std::string_view type, std::string_view members, std::string& out) {
    out += common::Concat("event: ", type, "\ndata: {\"type\":\"", type,
                          "\",\"sequence_number\":", next_++, ',', members, "}\n\n");
  }
  int64_t next() const { return next_; }

 private:
  int64_t next_ = 0;
};

std::string Quoted(std::string_view text) {
  std::string json;
  common::AppendJsonString(text, json);
  return json;
}

// How the events about a piece of text are called, and what they call its place.
struct TextWords {
  std::string_view part_added;
  std::string_view delta;
  std::string_view done;
  std::string_view part_done;
  std::string_view index;
  std::string_view text;
};

TextWords WordsFor(Part::Kind kind, ReasoningForm form) {
  constexpr std::string_view kAdded = "response.content_part.added";
  constexpr std::string_view kDone = "response.content_part.done";
  if (kind == Part::Kind::kRefusal) {
    return {kAdded, "response.refusal.delta", "response.refusal.done",
            kDone,  "content_index",          "refusal"};
  }
  if (kind != Part::Kind::kReasoning) {
    return {
        kAdded, "response.output_text.delta", "response.output_text.done", kDone, "content_index",
        "text"};
  }
  if (form == ReasoningForm::kText) {
    return {kAdded,
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            kDone,
            "content_index",
            "text"};
  }
  return {"response.reasoning_summary_part.added",
          "response.reasoning_summary_text.delta",
          "response.reasoning_summary_text.done",
          "response.reasoning_summary_part.done",
          "summary_index",
          "text"};
}

// Texts and reasoning end where something else begins. Function calls stay open to the end, since
// providers may send the arguments of parallel calls by turns.
class ResponsesStreamRenderer final : public StreamRenderer {
 public:
  explicit ResponsesStreamRenderer(const RenderContext& context)
      : frame_(context), wants_logprobs_(context.conversation.logprobs) {}

  void Render(const Delta& delta, std::string& out) override {
    if (delta.choice != 0) return;
    if (delta.kind == Delta::Kind::kStart) {
      frame_.SetOrigin({delta.id, delta.model, delta.created_at});
    }
    Begin(out);
    if (delta.kind == Delta::Kind::kLogprobs) return TakeLogprobs(delta, out);
    Flush(out);
    switch (delta.kind) {
      case Delta::Kind::kText:
        return TakeText(delta, Part::Kind::kText, out);
      case Delta::Kind::kRefusal:
        return TakeText(delta, Part::Kind::kRefusal, out);
      case Delta::Kind::kReasoning:
        return TakeText(delta, Part::Kind::kReasoning, out);
      case Delta::Kind::kSignature:
        return TakeSignature(delta, out);
      case Delta::Kind::kToolCall:
        return TakeCall(delta, out);
      case Delta::Kind::kToolArguments:
        return TakeArguments(delta, out);
      case Delta::Kind::kUsage:
        usage_ = delta.usage;
        return;
      case Delta::Kind::kFinish:
        finish_ = delta.finish;
        return;
      default:
        return;
    }
  }

  void RenderEnd(std::string& out) override {
    Begin(out);
    Flush(out);
    for (size_t i = 0; i < items_.size(); ++i) {
      if (is_open_[i]) CloseItem(i, out);
    }
    const bool is_whole = ResponseFrame::StatusOf(finish_) == kCompleted;
    WriteResponse(is_whole ? "response.completed" : "response.incomplete",
                  frame_.RenderWhole(items_, {finish_, usage_}), out);
  }

  int64_t sequence_number() const override { return writer_.next(); }
  std::string response_id() const override { return frame_.id(); }

 private:
  // Where a part's text goes.
  struct Place {
    size_t item = 0;
    size_t content = 0;
  };
  // A text that waits for its logprobs, which come behind it.
  struct HeldText {
    Place place;
    std::string text;
    Json logprobs = Json::array();
  };

  void WriteResponse(std::string_view type, const std::string& response, std::string& out) {
    writer_.Write(type, common::Concat(R"("response":)", response), out);
  }

  void Begin(std::string& out) {
    if (std::exchange(has_begun_, true)) return;
    const std::string response = frame_.RenderInProgress();
    WriteResponse("response.created", response, out);
    WriteResponse("response.in_progress", response, out);
  }

  void TakeText(const Delta& delta, Part::Kind kind, std::string& out) {
    if (delta.text.empty()) return;
    const auto found = places_.find(delta.part);
    const bool goes_on = found != places_.end() && IsLastText(found->second);
    const Place place = goes_on ? found->second : BeginText(kind, out);
    places_[delta.part] = place;
    ContentAt(place).text += delta.text;
    if (wants_logprobs_ && kind == Part::Kind::kText) {
      held_ = HeldText{place, delta.text};
    } else {
      WriteDelta(place, delta.text, Json::array(), out);
    }
  }

  // The place is open and nothing has come behind it in its item.
  bool IsLastText(const Place& place) const {
    return is_open_[place.item] && place.content + 1 == items_[place.item].contents.size();
  }

  Place BeginText(Part::Kind kind, std::string& out) {
    const Kind item_kind = kind == Part::Kind::kReasoning ? Kind::kReasoning : Kind::kMessage;
    if (!JoinsLastItem(item_kind)) {
      AddItem(frame_.NewItem(item_kind, items_.size()), out);
    } else if (!items_.back().contents.empty()) {
      CloseContent(items_.size() - 1, out);
    }
    const Place place{items_.size() - 1, items_.back().contents.size()};
    items_.back().contents.push_back({kind, {}});
    writer_.Write(WordsFor(kind, frame_.form()).part_added, PartMembers(place), out);
    return place;
  }

  // A message has any number of texts; reasoning may have begun with its signature.
  bool JoinsLastItem(Kind kind) const {
    if (items_.empty() || !is_open_.back() || items_.back().kind != kind) return false;
    return kind == Kind::kMessage || items_.back().contents.empty();
  }

  void AddItem(ResponseItem item, std::string& out) {
    CloseTexts(out);
    items_.push_back(std::move(item));
    is_open_.push_back(true);
    WriteItem("response.output_item.added", items_.size() - 1, kInProgress, out);
  }

  void CloseTexts(std::string& out) {
    for (size_t i = 0; i < items_.size(); ++i) {
      if (is_open_[i] && items_[i].kind != Kind::kFunctionCall) CloseItem(i, out);
    }
  }

  void CloseItem(size_t index, std::string& out) {
    is_open_[index] = false;
    const ResponseItem& item = items_[index];
    if (item.kind == Kind::kFunctionCall) {
      writer_.Write("response.function_call_arguments.done",
                    common::Concat(ItemMembers(index), R"(,"name":)", Quoted(item.name),
                                   R"(,"arguments":)", Quoted(item.arguments)),
                    out);
    } else if (!item.contents.empty()) {
      CloseContent(index, out);
    }
    WriteItem("response.output_item.done", index,
              ResponseFrame::ItemStatus(finish_, index, items_.size()), out);
  }

  // The last content of an item.
  void CloseContent(size_t index, std::string& out) {
    const Place place{index, items_[index].contents.size() - 1};
    const ResponseItem::Content& content = ContentAt(place);
    const TextWords words = WordsFor(content.kind, frame_.form());
    std::string members =
        common::Concat(PlaceMembers(place), ",\"", words.text, "\":", Quoted(content.text));
    if (content.kind == Part::Kind::kText) {
      members += common::Concat(R"(,"logprobs":)", RenderJson(content.logprobs));
    }
    writer_.Write(words.done, members, out);
    writer_.Write(words.part_done, PartMembers(place), out);
  }

  void TakeCall(const Delta& delta, std::string& out) {
    ResponseItem call = frame_.NewCall(items_.size(), delta.id, delta.name);
    AddItem(std::move(call), out);
    places_[delta.part] = {items_.size() - 1, 0};
    TakeArguments(delta, out);
  }

  void TakeArguments(const Delta& delta, std::string& out) {
    const auto found = places_.find(delta.part);
    if (delta.text.empty() || found == places_.end()) return;
    const size_t index = found->second.item;
    items_[index].arguments += delta.text;
    writer_.Write("response.function_call_arguments.delta",
                  common::Concat(ItemMembers(index), R"(,"delta":)", Quoted(delta.text)), out);
  }

  // Reasoning may consist of nothing else. A signature of a text has no place in this dialect.
  void TakeSignature(const Delta& delta, std::string& out) {
    const auto found = places_.find(delta.part);
    if (found == places_.end()) {
      if (delta.text.empty()) return;
      AddItem(frame_.NewItem(Kind::kReasoning, items_.size()), out);
      places_[delta.part] = {items_.size() - 1, 0};
    }
    const size_t index = places_[delta.part].item;
    ResponseItem& item = items_[index];
    if (!is_open_[index] || item.kind == Kind::kMessage) return;
    item.signature += delta.text;
    item.is_redacted |= delta.is_redacted;
  }

  void TakeLogprobs(const Delta& delta, std::string& out) {
    const Json& tokens = MemberOf(delta.logprobs, "content");
    if (!tokens.is_array() || !held_) return;
    for (const Json& token : tokens) {
      held_->logprobs.push_back(token);
      ContentAt(held_->place).logprobs.push_back(token);
    }
    Flush(out);
  }

  void Flush(std::string& out) {
    if (!held_) return;
    const HeldText held = *std::exchange(held_, std::nullopt);
    WriteDelta(held.place, held.text, held.logprobs, out);
  }

  void WriteDelta(const Place& place, std::string_view text, const Json& logprobs,
                  std::string& out) {
    const Part::Kind kind = ContentAt(place).kind;
    std::string members = common::Concat(PlaceMembers(place), R"(,"delta":)", Quoted(text));
    if (kind == Part::Kind::kText) {
      members += common::Concat(R"(,"logprobs":)", RenderJson(logprobs));
    }
    writer_.Write(WordsFor(kind, frame_.form()).delta, members, out);
  }

  void WriteItem(std::string_view type, size_t index, std::string_view status, std::string& out) {
    const Json item = RenderItem(items_[index], status, frame_.form());
    writer_.Write(
        type, common::Concat(R"("output_index":)", index, R"(,"item":)", RenderJson(item)), out);
  }

  std::string ItemMembers(size_t index) const {
    return common::Concat(R"("item_id":)", Quoted(items_[index].id), R"(,"output_index":)", index);
  }
  std::string PlaceMembers(const Place& place) const {
    const TextWords words = WordsFor(ContentAt(place).kind, frame_.form());
    return common::Concat(ItemMembers(place.item), ",\"", words.index, "\":", place.content);
  }
  std::string PartMembers(const Place& place) const {
    return common::Concat(PlaceMembers(place), R"(,"part":)",
                          RenderJson(RenderContent(ContentAt(place), frame_.form())));
  }
  ResponseItem::Content& ContentAt(const Place& place) {
    return items_[place.item].contents[place.content];
  }
  const ResponseItem::Content& ContentAt(const Place& place) const {
    return items_[place.item].contents[place.content];
  }

  ResponseFrame frame_;
  EventWriter writer_;
  std::vector<ResponseItem> items_;
  std::vector<bool> is_open_;               // by item
  absl::flat_hash_map<int, Place> places_;  // by part
  std::optional<HeldText> held_;
  Usage usage_;
  FinishReason finish_ = FinishReason::kStop;
  bool wants_logprobs_ = false;
  bool has_begun_ = false;
};

}  // namespace

std::unique_ptr<StreamRenderer> OpenAiResponsesClient::NewStreamRenderer(
    const RenderContext& context) const {
  return std::make_unique<ResponsesStreamRenderer>(context);
}

}  // namespace gateway
