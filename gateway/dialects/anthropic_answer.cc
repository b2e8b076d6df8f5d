#include "gateway/dialects/anthropic_answer.h"

#include <string>

#include "gateway/core/json_scan.h"

namespace gateway {
namespace {

// No provider counts more; larger figures are nonsense.
constexpr double kMostTokens = 1e12;

bool IsText(const JsonValue& value) { return value.type == JsonType::kString; }
bool HasText(const JsonValue& value) { return IsText(value) && !value.text->empty(); }

// Blocks of text and thinking may be empty; any other block is output.
bool IsFillable(std::string_view block_type) {
  return block_type == "text" || block_type == "thinking";
}

std::optional<int64_t>* CountNamed(std::string_view key, AnthropicTokens& tokens) {
  if (key == "input_tokens") return &tokens.input;
  if (key == "output_tokens") return &tokens.output;
  if (key == "cache_read_input_tokens") return &tokens.cache_read;
  if (key == "cache_creation_input_tokens") return &tokens.cache_creation;
  return nullptr;
}

void TakeCount(const JsonValue& value, std::optional<int64_t>* count) {
  if (count == nullptr || value.type != JsonType::kNumber) return;
  if (value.number >= 0 && value.number <= kMostTokens) *count = static_cast<int64_t>(value.number);
}

// Depth 1 is the message, 2 the usage object and the list of blocks, 3 a block.
class MessageReceiver final : public JsonReceiver {
 public:
  bool OnKey(int depth, std::string& key) override {
    if (depth == 1) top_ = key;
    if (depth == 2) count_ = top_ == "usage" ? CountNamed(key, tokens_) : nullptr;
    if (depth == 3) in_block_ = key;
    return true;
  }

  bool OnValue(int depth, const JsonValue& value, size_t) override {
    if (depth == 0) is_object_ = value.type == JsonType::kObject;
    if (depth == 1) TakeTop(value);
    if (depth == 2 && top_ == "usage") TakeCount(value, count_);
    if (depth == 3 && top_ == "content") TakeInBlock(value);
    return is_object_;
  }

  bool OnClose(int) override { return true; }

  AnswerVerdict Verdict() const {
    if (has_error_) return AnswerVerdict::kError;
    if (!is_message_ || !has_content_) return AnswerVerdict::kForeign;
    const bool has_run = has_telling_stop_reason_ || tokens_.output.value_or(0) > 0;
    return has_output_ || has_run ? AnswerVerdict::kAnswer : AnswerVerdict::kEmpty;
  }
  AnswerVerdict CountVerdict() const {
    if (has_error_) return AnswerVerdict::kError;
    return has_count_ ? AnswerVerdict::kAnswer : AnswerVerdict::kForeign;
  }
  const AnthropicTokens& tokens() const { return tokens_; }

 private:
  void TakeTop(const JsonValue& value) {
    if (top_ == "input_tokens") has_count_ = value.type == JsonType::kNumber;
    if (top_ == "type" && IsText(value)) {
      is_message_ = *value.text == "message";
      has_error_ |= *value.text == "error";
    }
    if (top_ == "error") has_error_ |= HasText(value) || value.type == JsonType::kObject;
    if (top_ == "success") has_error_ |= value.type == JsonType::kBoolean && !value.boolean;
    if (top_ == "content") has_content_ = value.type == JsonType::kArray;
    if (top_ == "stop_reason")
      has_telling_stop_reason_ = HasText(value) && *value.text != "end_turn";
  }

  void TakeInBlock(const JsonValue& value) {
    if (!HasText(value)) return;
    has_output_ |= in_block_ == "type" ? !IsFillable(*value.text)
                                       : in_block_ == "text" || in_block_ == "thinking";
  }

  std::string top_;
  std::string in_block_;
  std::optional<int64_t>* count_ = nullptr;
  AnthropicTokens tokens_;
  bool is_object_ = false;
  bool is_message_ = false;
  bool has_content_ = false;
  bool has_count_ = false;
  bool has_error_ = false;
  bool has_output_ = false;
  bool has_telling_stop_reason_ = false;
};

// Depth 1 is the event, 2 its delta, block, usage or message, 3 the message's usage.
class EventReceiver final : public JsonReceiver {
 public:
  bool OnKey(int depth, std::string& key) override {
    count_ = nullptr;
    if (depth == 1) top_ = key;
    if (depth == 2) {
      second_ = key;
      if (top_ == "usage") count_ = CountNamed(key, event_.tokens);
    }
    const bool is_usage_of_message = depth == 3 && top_ == "message" && second_ == "usage";
    if (is_usage_of_message) count_ = CountNamed(key, event_.tokens);
    return true;
  }

  bool OnValue(int depth, const JsonValue& value, size_t) override {
    if (depth == 0) is_object_ = value.type == JsonType::kObject;
    if (depth == 1) TakeTop(value);
    if (depth == 2 && top_ == "delta") TakeInDelta(value);
    if (depth == 2 && top_ == "content_block") TakeInBlock(value);
    TakeCount(value, count_);
    return is_object_;
  }

  bool OnClose(int) override { return true; }

  AnthropicEvent Event() {
    event_.type = Type();
    return event_;
  }

 private:
  AnthropicEvent::Type Type() const {
    using enum AnthropicEvent::Type;
    if (has_error_ || type_ == "error") return kError;
    if (type_ == "message_stop") return kEnd;
    if (type_ == "content_block_start" || type_ == "content_block_delta") {
      return has_output_ ? kOutput : kSilent;
    }
    if (type_ == "message_delta") return has_stop_reason_ ? kStopReason : kSilent;
    const bool is_silent =
        type_ == "message_start" || type_ == "ping" || type_ == "content_block_stop";
    return is_silent ? kSilent : kOther;
  }

  void TakeTop(const JsonValue& value) {
    if (top_ == "type" && IsText(value)) type_ = *value.text;
    if (top_ == "error") has_error_ |= HasText(value) || value.type == JsonType::kObject;
  }

  // A signature alone is no output; a citation is.
  void TakeInDelta(const JsonValue& value) {
    if (second_ == "stop_reason" && HasText(value)) {
      has_stop_reason_ = true;
      event_.is_end_turn = *value.text == "end_turn";
    }
    const bool is_output_text =
        second_ == "text" || second_ == "thinking" || second_ == "partial_json";
    has_output_ |=
        is_output_text ? HasText(value) : second_ == "citation" && value.type == JsonType::kObject;
  }

  void TakeInBlock(const JsonValue& value) {
    if (!HasText(value)) return;
    has_output_ |=
        second_ == "type" ? !IsFillable(*value.text) : second_ == "text" || second_ == "thinking";
  }

  std::string top_;
  std::string second_;
  std::string type_;
  std::optional<int64_t>* count_ = nullptr;
  AnthropicEvent event_;
  bool is_object_ = false;
  bool has_error_ = false;
  bool has_output_ = false;
  bool has_stop_reason_ = false;
};

AnswerVerdict Judge(std::string_view body, AnswerVerdict (MessageReceiver::*verdict)() const) {
  MessageReceiver receiver;
  using Status = JsonScanResult::Status;
  const Status status = ScanJson(body, receiver).status;
  if (status == Status::kInvalid) return AnswerVerdict::kNotJson;
  return status == Status::kTooDeep ? AnswerVerdict::kForeign : (receiver.*verdict)();
}

}  // namespace

void AnthropicTokens::Replace(const AnthropicTokens& later) {
  if (later.input) input = later.input;
  if (later.cache_read) cache_read = later.cache_read;
  if (later.cache_creation) cache_creation = later.cache_creation;
  if (later.output) output = later.output;
}

int64_t AnthropicTokens::Total() const {
  return input.value_or(0) + cache_read.value_or(0) + cache_creation.value_or(0) +
         output.value_or(0);
}

AnswerVerdict JudgeAnthropicAnswer(std::string_view body) {
  return Judge(body, &MessageReceiver::Verdict);
}

AnswerVerdict JudgeAnthropicCount(std::string_view body) {
  return Judge(body, &MessageReceiver::CountVerdict);
}

int64_t ReadAnthropicTokens(std::string_view body) {
  MessageReceiver receiver;
  if (ScanJson(body, receiver).status != JsonScanResult::Status::kComplete) return 0;
  return receiver.tokens().Total();
}

AnthropicEvent ReadAnthropicEvent(std::string_view data) {
  EventReceiver receiver;
  if (ScanJson(data, receiver).status != JsonScanResult::Status::kComplete) return {};
  return receiver.Event();
}

}  // namespace gateway
