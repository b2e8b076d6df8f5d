#include "gateway/core/json_scan.h"

#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

#include "gateway/core/ascii.h"

namespace gateway {
namespace {

namespace ondemand = simdjson::ondemand;

// A parser keeps room for the largest text it has seen, at five bytes for each of the text's; above
// this the room is given back at once.
constexpr size_t kLargestKeptBytes = 1 << 20;

// A copy of the text with the room behind it that simdjson's vector reads need, and a parser.
struct Workspace {
  ondemand::parser parser;
  std::string padded;
};

size_t CountDigits(std::string_view text) {
  return std::min(text.find_first_not_of("0123456789"), text.size());
}

// RFC 8259 section 6. simdjson also fails at numbers that are merely too large.
bool IsNumber(std::string_view text) {
  if (text.starts_with('-')) text.remove_prefix(1);
  const size_t whole = CountDigits(text);
  if (whole == 0 || (whole > 1 && text[0] == '0')) return false;
  text.remove_prefix(whole);
  if (text.starts_with('.')) {
    const size_t fraction = CountDigits(text.substr(1));
    if (fraction == 0) return false;
    text.remove_prefix(1 + fraction);
  }
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && CountDigits(text) == text.size();
}

// Walks the whole document in order and tells the receiver. simdjson checks the UTF-8 beforehand
// and every token as it is reached.
class Walk {
 public:
  Walk(const char* base, JsonReceiver& receiver) : base_(base), receiver_(receiver) {}

  JsonScanResult Run(ondemand::document& document) {
    Status status = WalkRoot(document);
    const char* rest = nullptr;
    const bool has_rest = document.current_location().get(rest) != simdjson::OUT_OF_BOUNDS;
    if (status == Status::kComplete && has_rest) status = Status::kInvalid;
    return {status, status == Status::kComplete ? 0 : offset_};
  }

 private:
  using Status = JsonScanResult::Status;

  Status WalkRoot(ondemand::document& document) {
    ondemand::json_type type;
    if (document.type().get(type)) return Status::kInvalid;
    if (type != ondemand::json_type::array && type != ondemand::json_type::object) {
      return WalkScalar(document, type, 0);
    }
    ondemand::value value;
    if (document.get_value().get(value)) return Status::kInvalid;
    return WalkValue(value, 0);
  }

  Status WalkValue(ondemand::value& value, int depth) {
    offset_ = static_cast<size_t>(value.raw_json_token().data() - base_);
    ondemand::json_type type;
    if (value.type().get(type)) return Status::kInvalid;
    switch (type) {
      case ondemand::json_type::object:
        return WalkObject(value, depth);
      case ondemand::json_type::array:
        return WalkArray(value, depth);
      default:
        return WalkScalar(value, type, depth);
    }
  }

  Status WalkObject(ondemand::value& value, int depth) {
    if (depth == kMaxJsonDepth) return Status::kTooDeep;
    if (!Tell(depth, {.type = JsonType::kObject}, offset_ + 1)) return Status::kStopped;
    ondemand::object object;
    if (value.get_object().get(object)) return Status::kInvalid;
    for (simdjson::simdjson_result<ondemand::field> result : object) {
      ondemand::field field;
      if (std::move(result).get(field)) return Status::kInvalid;
      std::string_view key;
      if (field.unescaped_key().get(key)) return Status::kInvalid;
      text_.assign(key);
      if (!receiver_.OnKey(depth + 1, text_)) return Status::kStopped;
      const Status status = WalkValue(field.value(), depth + 1);
      if (status != Status::kComplete) return status;
    }
    return receiver_.OnClose(depth) ? Status::kComplete : Status::kStopped;
  }

  Status WalkArray(ondemand::value& value, int depth) {
    if (depth == kMaxJsonDepth) return Status::kTooDeep;
    if (!Tell(depth, {.type = JsonType::kArray}, offset_ + 1)) return Status::kStopped;
    ondemand::array array;
    if (value.get_array().get(array)) return Status::kInvalid;
    for (const simdjson::simdjson_result<ondemand::value>& result : array) {
      if (result.error()) return Status::kInvalid;
      ondemand::value item = result.value_unsafe();
      const Status status = WalkValue(item, depth + 1);
      if (status != Status::kComplete) return status;
    }
    return receiver_.OnClose(depth) ? Status::kComplete : Status::kStopped;
  }

  // `Node` is a value, or a document that is one.
  template <typename Node>
  Status WalkScalar(Node& node, ondemand::json_type type, int depth) {
    JsonValue value;
    size_t end = offset_;
    switch (type) {
      case ondemand::json_type::string: {
        end = EndOfString(node);
        std::string_view text;
        if (node.get_string().get(text)) return Status::kInvalid;
        text_.assign(text);
        value = {.type = JsonType::kString, .text = &text_};
        break;
      }
      case ondemand::json_type::number:
        value.type = JsonType::kNumber;
        value.token = TokenOf(node);
        if (node.get_double().get(value.number)) {
          if (!IsNumber(Trim(value.token))) return Status::kInvalid;
          value.number = value.token.starts_with('-') ? -HUGE_VAL : HUGE_VAL;
        }
        break;
      case ondemand::json_type::boolean:
        value.type = JsonType::kBoolean;
        if (node.get_bool().get(value.boolean)) return Status::kInvalid;
        break;
      default: {
        // Older releases answer with a plain bool.
        bool is_null = false;
        const auto error = simdjson::simdjson_result<bool>(node.is_null()).get(is_null);
        if (error || !is_null) return Status::kInvalid;
        break;
      }
    }
    return Tell(depth, value, end) ? Status::kComplete : Status::kStopped;
  }

  // A raw token reaches up to the next one; white space may stand between.
  template <typename Node>
  static std::string_view TokenOf(Node& node) {
    std::string_view token;
    if constexpr (std::is_same_v<Node, ondemand::document>) {
      if (node.raw_json_token().get(token)) return {};
    } else {
      token = node.raw_json_token();
    }
    return token;
  }

  template <typename Node>
  size_t EndOfString(Node& node) const {
    const std::string_view token = TokenOf(node);
    if (token.empty()) return offset_;
    const size_t quote = token.rfind('"');
    return static_cast<size_t>(token.data() - base_) + (quote == token.npos ? 0 : quote + 1);
  }

  bool Tell(int depth, const JsonValue& value, size_t end) {
    return receiver_.OnValue(depth, value, end);
  }

  const char* base_;
  JsonReceiver& receiver_;
  size_t offset_ = 0;  // of the token reached last
  std::string text_;   // of the key or string told last
};

JsonScanResult ScanIn(Workspace& workspace, std::string_view text, JsonReceiver& receiver) {
  std::string& padded = workspace.padded;
  padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  padded.assign(text);
  ondemand::document document;
  const simdjson::padded_string_view view(padded.data(), padded.size(), padded.capacity());
  if (workspace.parser.iterate(view).get(document)) return {JsonScanResult::Status::kInvalid, 0};
  return Walk(padded.data(), receiver).Run(document);
}

}  // namespace

JsonScanResult ScanJson(std::string_view text, JsonReceiver& receiver) {
  if (text.size() > kLargestKeptBytes) {
    const auto workspace = std::make_unique<Workspace>();
    return ScanIn(*workspace, text, receiver);
  }
  thread_local Workspace workspace;
  return ScanIn(workspace, text, receiver);
}

}  // namespace gateway
