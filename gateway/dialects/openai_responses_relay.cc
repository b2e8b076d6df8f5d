#include "gateway/dialects/openai_responses_relay.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "gateway/core/ascii.h"
#include "gateway/core/error_body.h"
#include "gateway/core/failure_vocabulary.h"
#include "gateway/core/json_scan.h"
#include "gateway/dialects/json_glance.h"

namespace gateway {
namespace {

bool IsEmptyText(const JsonValue& value) {
  return value.type == JsonType::kString && value.text->empty();
}

bool IsFullText(const JsonValue& value) {
  return value.type == JsonType::kString && !value.text->empty();
}

// As a client's `if (error)`.
bool IsTruthy(const JsonValue& value) {
  if (value.type == JsonType::kBoolean) return value.boolean;
  return value.type != JsonType::kNull && !IsEmptyText(value);
}

// An output item whose members stand at `depth`: {"type":..., "content":[{"text":...}]}. Messages
// and reasoning are output by what is in them, a list of tools is none, everything else is.
class ItemReader {
 public:
  explicit ItemReader(int depth) : depth_(depth) {}

  void OnKey(int depth, std::string_view key) {
    if (depth == depth_) is_type_ = key == "type";
    if (depth == depth_ + 2) is_text_ = key == "text" || key == "refusal";
  }
  void OnValue(int depth, const JsonValue& value) {
    if (depth == depth_ && is_type_ && IsFullText(value)) {
      has_output_ |=
          *value.text != "message" && *value.text != "reasoning" && *value.text != "mcp_list_tools";
    }
    if (depth == depth_ + 2 && is_text_) has_output_ |= IsFullText(value);
  }
  bool has_output() const { return has_output_; }

 private:
  int depth_;
  bool is_type_ = false;
  bool is_text_ = false;
  bool has_output_ = false;
};

// A response whose members stand at `depth`.
class ResponseReader {
 public:
  explicit ResponseReader(int depth) : depth_(depth), items_(depth + 2) {}

  void OnKey(int depth, std::string& key) {
    if (depth == depth_) {
      member_ = key;
    } else if (member_ == "output") {
      items_.OnKey(depth, key);
    } else if (depth == depth_ + 1) {
      is_output_tokens_ = member_ == "usage" && key == "output_tokens";
    }
  }
  void OnValue(int depth, const JsonValue& value) {
    if (depth == depth_) {
      TakeMember(value);
    } else if (member_ == "output") {
      items_.OnValue(depth, value);
    } else if (depth == depth_ + 1 && is_output_tokens_ && value.type == JsonType::kNumber) {
      has_output_tokens_ |= value.number > 0;
    }
  }

  bool has_failed() const { return has_error_ || status_ == "failed" || status_ == "cancelled"; }
  bool has_items() const { return has_items_; }
  bool HasAnswered() const {
    return status_ == "incomplete" || items_.has_output() || has_output_tokens_;
  }
  bool is_under_way() const { return status_ == "queued" || status_ == "in_progress"; }
  std::string& id() { return id_; }

 private:
  void TakeMember(const JsonValue& value) {
    if (member_ == "error") has_error_ |= IsTruthy(value);
    if (member_ == "output") has_items_ = value.type == JsonType::kArray;
    if (value.type != JsonType::kString) return;
    if (member_ == "status") status_ = *value.text;
    if (member_ == "id") id_ = *value.text;
  }

  int depth_;
  ItemReader items_;
  std::string member_;
  std::string status_;
  std::string id_;
  bool has_error_ = false;
  bool has_items_ = false;
  bool is_output_tokens_ = false;
  bool has_output_tokens_ = false;
};

class AnswerReceiver final : public JsonReceiver {
 public:
  bool OnKey(int depth, std::string& key) override {
    response_.OnKey(depth, key);
    return true;
  }
  bool OnValue(int depth, const JsonValue& value, size_t) override {
    response_.OnValue(depth, value);
    return depth > 0 || value.type == JsonType::kObject;
  }
  bool OnClose(int) override { return true; }

  AnswerVerdict Verdict() const {
    if (response_.has_failed()) return AnswerVerdict::kError;
    if (!response_.has_items()) return AnswerVerdict::kForeign;
    const bool is_answer = response_.HasAnswered() && !response_.is_under_way();
    return is_answer ? AnswerVerdict::kAnswer : AnswerVerdict::kEmpty;
  }

 private:
  ResponseReader response_{1};
};

// One event: {"type":..., "response":{...}}, {"type":..., "item":{...}}, {"type":..., "delta":...}.
class EventReceiver final : public JsonReceiver {
 public:
  bool OnKey(int depth, std::string& key) override {
    if (depth == 1) {
      member_ = key;
    } else if (member_ == "response") {
      response_.OnKey(depth, key);
    } else if (member_ == "item") {
      item_.OnKey(depth, key);
    }
    return true;
  }
  bool OnValue(int depth, const JsonValue& value, size_t) override {
    if (depth == 0) return value.type == JsonType::kObject;
    if (depth == 1) {
      TakeMember(value);
    } else if (member_ == "response") {
      response_.OnValue(depth, value);
    } else if (member_ == "item") {
      item_.OnValue(depth, value);
    }
    return true;
  }
  bool OnClose(int) override { return true; }

  EventMeaning Meaning() const {
    if (!type_.starts_with("response.") || type_ == "response.failed" || has_error_ ||
        response_.has_failed()) {
      return EventMeaning::kNoEvent;
    }
    const bool is_last = type_ == "response.completed" || type_ == "response.incomplete";
    if (!is_last) {
      return has_text_ || item_.has_output() ? EventMeaning::kOutput : EventMeaning::kSilent;
    }
    const bool has_answered = response_.HasAnswered() || type_ == "response.incomplete";
    return has_answered ? EventMeaning::kLast : EventMeaning::kEnd;
  }
  std::string& response_id() { return response_.id(); }

 private:
  void TakeMember(const JsonValue& value) {
    static constexpr std::array<std::string_view, 7> kTexts = {
        "delta", "text", "refusal", "arguments", "code", "input", "partial_image_b64"};
    if (member_ == "error") has_error_ |= IsTruthy(value);
    if (value.type != JsonType::kString) return;
    if (member_ == "type") type_ = *value.text;
    const bool is_text = std::find(kTexts.begin(), kTexts.end(), member_) != kTexts.end();
    has_text_ |= is_text && !value.text->empty();
  }

  std::string member_;
  std::string type_;
  ResponseReader response_{2};
  ItemReader item_{2};
  bool has_error_ = false;
  bool has_text_ = false;
};

// A delta that cannot be an error, by its looks.
bool IsPlainDelta(const SseEvent& event) {
  const std::string_view data = event.data;
  if (event.name == "error" || !data.starts_with('{') || !data.ends_with('}')) return false;
  std::string_view type = ValueOf(data, "\"type\"");
  if (!type.starts_with("\"response.")) return false;
  type = type.substr(1, type.find('"', 1) - 1);
  return type.ends_with(".delta") && !HasToken(data, "\"error\"");
}

// The event's own number; schemas that are repeated in an event may have a member of that name, but
// it is no number.
void NotePosition(std::string_view data, StreamPosition& position) {
  constexpr std::string_view kName = "\"sequence_number\"";
  int64_t number = position.next_sequence_number;
  std::string_view rest = data;
  for (std::string_view value = ValueOf(rest, kName); !value.empty();
       value = ValueOf(value, kName)) {
    int64_t said = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), said);
    if (error != std::errc() || said < 0 || said == INT64_MAX) continue;
    number = said;
    break;
  }
  position.next_sequence_number = number + 1;
}

// Routes are missing in many words: "Invalid URL (POST /v1/responses)", Groq's "Unknown request
// URL", Azure's "Resource not found", Kong's "no Route matched", FastAPI's "Not Found". What is
// missing inside a request has a name: "Item with id 'rs_1' not found", "No such File object".
bool SaysNoRoute(std::string_view text) {
  constexpr std::array<std::string_view, 5> kRouteWords = {" url", "route", "endpoint", "path",
                                                           "/responses"};
  constexpr std::array<std::string_view, 5> kWholeTexts = {
      "not found", "file not found", "resource not found", "404 not found", "page not found"};
  text = Trim(text);
  if (text.ends_with('.')) text.remove_suffix(1);
  const auto is_in_text = [&](std::string_view word) { return Contains(text, word); };
  return std::find(kWholeTexts.begin(), kWholeTexts.end(), text) != kWholeTexts.end() ||
         std::any_of(kRouteWords.begin(), kRouteWords.end(), is_in_text);
}

}  // namespace

AnswerVerdict JudgeResponsesAnswer(std::string_view body) {
  AnswerReceiver receiver;
  using Status = JsonScanResult::Status;
  const Status status = ScanJson(body, receiver).status;
  if (status == Status::kInvalid) return AnswerVerdict::kNotJson;
  if (status == Status::kTooDeep) return AnswerVerdict::kForeign;
  return receiver.Verdict();
}

EventMeaning ResponsesJudge::Judge(const SseEvent& event, Care care) {
  const bool is_plain = care == Care::kErrorsOnly && IsPlainDelta(event);
  const EventMeaning meaning = is_plain ? EventMeaning::kSilent : JudgeFully(event);
  // An error takes its number along: what tells of it instead comes in its place.
  if (meaning != EventMeaning::kNoEvent) NotePosition(event.data, position_);
  return meaning;
}

EventMeaning ResponsesJudge::JudgeFully(const SseEvent& event) {
  if (event.name == "error") return EventMeaning::kNoEvent;
  EventReceiver receiver;
  if (ScanJson(event.data, receiver).status != JsonScanResult::Status::kComplete) {
    return EventMeaning::kNoEvent;
  }
  if (!receiver.response_id().empty()) {
    position_.response_id = std::move(receiver.response_id());
    tokens_used_ = std::max(tokens_used_, ReadOpenAiUsage(event.data));
  }
  return receiver.Meaning();
}

bool HasNoSuchRoute(int status, std::string_view body) {
  if (status == 405 || status == 501) return true;
  if (status != 404) return false;
  const ErrorBody error = ReadErrorBody(body);
  if (error.form != ErrorBody::Form::kJson) return true;
  const bool is_about_request = !error.param.empty() ||
                                FindWord(error, Strength::kDecisive).has_value() ||
                                FindWording(error.text, GroupOf(status)).has_value();
  return !is_about_request && (error.text.empty() || SaysNoRoute(error.text));
}

}  // namespace gateway
