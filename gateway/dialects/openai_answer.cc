#include "gateway/dialects/openai_answer.h"

#include <algorithm>
#include <array>
#include <string>

#include "gateway/core/json_scan.h"
#include "gateway/core/small_json.h"

namespace gateway {
namespace {

// `reasoning*` and `thinking` are what compatible servers call it.
constexpr std::array<std::string_view, 12> kOutputMembers = {
    "content",  "tool_calls", "refusal",           "function_call",     "audio",
    "images",   "reasoning",  "reasoning_content", "reasoning_details", "reasoning_text",
    "thinking", "annotations"};

// What a member of the object at some depth means for the verdict.
enum class Member : uint8_t {
  kOther,
  kError,
  kObject,
  kStatus,
  kSuccess,
  kItems,  // choices, or data
  kUsage,
  kBaseResp,  // MiniMax's verdict on its own answer
  kOutput,    // text of a completion, embedding of an item
  kFinishReason,
  kMessage,
  kMessageOutput,
  kOutputTokens,
  kBaseStatus,
};

bool IsOutputMember(std::string_view name) {
  return std::find(kOutputMembers.begin(), kOutputMembers.end(), name) != kOutputMembers.end();
}

bool IsEmptyValue(const JsonValue& value) {
  return value.type == JsonType::kNull || (value.type == JsonType::kString && value.text->empty());
}

// Depth 1 is the answer, 3 an item of choices or data, 4 its message; 2 also the usage object.
class AnswerReceiver final : public JsonReceiver {
 public:
  explicit AnswerReceiver(Endpoint endpoint)
      : items_name_(endpoint == Endpoint::kEmbeddings ? "data" : "choices"),
        output_name_(endpoint == Endpoint::kEmbeddings ? "embedding" : "text") {}

  bool OnKey(int depth, std::string& key) override {
    switch (depth) {
      case 1:
        top_ = TopMember(key);
        in_second_ = Member::kOther;
        break;
      case 2:
        in_second_ = SecondMember(key);
        break;
      case 3:
        in_item_ = top_ == Member::kItems ? ItemMember(key) : Member::kOther;
        break;
      case 4:
        in_message_ = in_item_ == Member::kMessage && IsOutputMember(key) ? Member::kMessageOutput
                                                                          : Member::kOther;
        break;
      default:
        break;
    }
    return true;
  }

  bool OnValue(int depth, const JsonValue& value, size_t) override {
    switch (depth) {
      case 0:
        is_object_ = value.type == JsonType::kObject;
        return is_object_;
      case 1:
        TakeTop(value);
        return true;
      case 2:
        TakeSecond(value);
        return true;
      case 3:
        TakeInItem(value);
        return true;
      default:
        TakeInMessage(depth, value);
        return true;
    }
  }

  bool OnClose(int) override { return true; }

  AnswerVerdict Verdict() const {
    if (!is_object_) return AnswerVerdict::kForeign;
    if (has_error_) return AnswerVerdict::kError;
    if (!has_items_) return AnswerVerdict::kForeign;
    const bool has_ended = has_telling_finish_reason_ || has_output_tokens_;
    return item_count_ > 0 && (has_output_ || has_ended) ? AnswerVerdict::kAnswer
                                                         : AnswerVerdict::kEmpty;
  }

  ChunkVerdict VerdictOfChunk() const {
    if (!is_object_ || has_error_ || !has_items_) return ChunkVerdict::kOther;
    return has_output_ || has_finish_reason_ ? ChunkVerdict::kOutput : ChunkVerdict::kSilent;
  }

 private:
  Member TopMember(std::string_view key) const {
    if (key == items_name_) return Member::kItems;
    if (key == "error") return Member::kError;
    if (key == "usage") return Member::kUsage;
    if (key == "base_resp") return Member::kBaseResp;
    if (key == "object") return Member::kObject;
    if (key == "status") return Member::kStatus;
    if (key == "success") return Member::kSuccess;
    return Member::kOther;
  }

  Member ItemMember(std::string_view key) const {
    if (key == "message" || key == "delta") return Member::kMessage;
    if (key == "finish_reason") return Member::kFinishReason;
    if (key == output_name_) return Member::kOutput;
    if (key == "error") return Member::kError;
    return Member::kOther;
  }

  Member SecondMember(std::string_view key) const {
    const bool is_count = key == "completion_tokens" || key == "output_tokens";
    if (top_ == Member::kUsage && is_count) return Member::kOutputTokens;
    if (top_ == Member::kBaseResp && key == "status_code") return Member::kBaseStatus;
    return Member::kOther;
  }

  void TakeTop(const JsonValue& value) {
    switch (top_) {
      case Member::kError:
        has_error_ |= !IsEmptyValue(value) && (value.type != JsonType::kBoolean || value.boolean);
        break;
      case Member::kSuccess:
        has_error_ |= value.type == JsonType::kBoolean && !value.boolean;
        break;
      case Member::kObject:
        has_error_ |= value.type == JsonType::kString && *value.text == "error";
        break;
      case Member::kStatus:
        has_error_ |= value.type == JsonType::kString && *value.text == "failed";
        break;
      case Member::kItems:
        has_items_ = value.type == JsonType::kArray;
        break;
      default:
        break;
    }
  }

  void TakeSecond(const JsonValue& value) {
    if (top_ == Member::kItems && value.type == JsonType::kObject) ++item_count_;
    if (value.type != JsonType::kNumber) return;
    if (in_second_ == Member::kOutputTokens) has_output_tokens_ |= value.number > 0;
    if (in_second_ == Member::kBaseStatus) has_error_ |= value.number != 0;
  }

  void TakeInItem(const JsonValue& value) {
    if (top_ != Member::kItems) return;
    switch (in_item_) {
      case Member::kOutput:
        has_output_ |= !IsEmptyValue(value);
        break;
      case Member::kError:
        has_error_ |= !IsEmptyValue(value);
        break;
      case Member::kFinishReason:
        TakeFinishReason(value);
        break;
      default:
        break;
    }
  }

  void TakeFinishReason(const JsonValue& value) {
    if (value.type != JsonType::kString || value.text->empty()) return;
    has_error_ |= *value.text == "error";
    has_finish_reason_ = true;
    has_telling_finish_reason_ |= *value.text != "stop";
  }

  // An array or object counts by what is inside it, so that an empty one is no output.
  void TakeInMessage(int depth, const JsonValue& value) {
    if (top_ != Member::kItems || in_item_ != Member::kMessage) return;
    if (in_message_ != Member::kMessageOutput) return;
    const bool is_container = value.type == JsonType::kArray || value.type == JsonType::kObject;
    has_output_ |= !IsEmptyValue(value) && (depth > 4 || !is_container);
  }

  std::string_view items_name_;
  std::string_view output_name_;
  Member top_ = Member::kOther;
  Member in_second_ = Member::kOther;
  Member in_item_ = Member::kOther;
  Member in_message_ = Member::kOther;
  bool is_object_ = false;
  bool has_error_ = false;
  bool has_items_ = false;
  bool has_output_ = false;
  bool has_finish_reason_ = false;
  bool has_telling_finish_reason_ = false;
  bool has_output_tokens_ = false;
  int64_t item_count_ = 0;
};

// No provider counts more; larger figures are nonsense.
constexpr double kMostTokens = 1e12;

class UsageReceiver final : public JsonReceiver {
 public:
  bool OnKey(int depth, std::string& key) override {
    target_ = nullptr;
    if (depth != 1) return true;
    if (key == "total_tokens") target_ = &total_;
    if (key == "prompt_tokens" || key == "input_tokens") target_ = &input_;
    if (key == "completion_tokens" || key == "output_tokens") target_ = &output_;
    return true;
  }
  bool OnValue(int, const JsonValue& value, size_t) override {
    const bool is_count =
        value.type == JsonType::kNumber && value.number >= 0 && value.number <= kMostTokens;
    if (target_ != nullptr && is_count) *target_ = static_cast<int64_t>(value.number);
    target_ = nullptr;
    return true;
  }
  bool OnClose(int) override { return true; }

  int64_t Total() const { return total_ > 0 ? total_ : input_ + output_; }

 private:
  int64_t total_ = 0;
  int64_t input_ = 0;
  int64_t output_ = 0;
  int64_t* target_ = nullptr;
};

}  // namespace

AnswerVerdict JudgeOpenAiAnswer(Endpoint endpoint, std::string_view body) {
  AnswerReceiver receiver(endpoint);
  const JsonScanResult result = ScanJson(body, receiver);
  using Status = JsonScanResult::Status;
  if (result.status == Status::kInvalid) return AnswerVerdict::kNotJson;
  if (result.status == Status::kTooDeep) return AnswerVerdict::kForeign;
  return receiver.Verdict();
}

ChunkVerdict JudgeOpenAiChunk(std::string_view data) {
  AnswerReceiver receiver(Endpoint::kChatCompletions);
  const JsonScanResult result = ScanJson(data, receiver);
  if (result.status != JsonScanResult::Status::kComplete) return ChunkVerdict::kOther;
  return receiver.VerdictOfChunk();
}

int64_t ReadOpenAiUsage(std::string_view json) {
  // Inside a JSON string the quotes would be escaped, so this is a member's name. It is the last
  // member of most answers.
  const size_t name = json.rfind("\"usage\"");
  if (name == std::string_view::npos) return 0;
  std::string_view value = json.substr(name + 7);
  value.remove_prefix(std::min(value.find_first_not_of(" \t\r\n:"), value.size()));
  if (!value.starts_with('{')) return 0;
  UsageReceiver receiver;
  if (ScanJson(FindJsonObject(value), receiver).status != JsonScanResult::Status::kComplete) {
    return 0;
  }
  return receiver.Total();
}

}  // namespace gateway
