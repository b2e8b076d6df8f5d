#include "gateway/core/json_scan.h"

#include <iterator>
#include <nlohmann/json.hpp>

namespace gateway {
namespace {

using Json = nlohmann::json;

// Reads the text for the parser and leaves behind how far it has come. The lexer consumes a string
// exactly to its closing quote and a bracket exactly, so the position is the end of such a token.
class TrackingIterator {
 public:
  using difference_type = std::ptrdiff_t;
  using value_type = char;
  using pointer = const char*;
  using reference = const char&;
  using iterator_category = std::input_iterator_tag;

  TrackingIterator(const char* at, const char** position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  TrackingIterator& operator++() {
    *position_ = ++at_;
    return *this;
  }
  bool operator==(const TrackingIterator& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  const char** position_;
};

// Adapts nlohmann's events to JsonReceiver and guards the depth.
class SaxAdapter {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  SaxAdapter(const char* begin, JsonReceiver& receiver)
      : begin_(begin), position_(begin), receiver_(receiver) {}

  const char** position() { return &position_; }
  bool is_too_deep() const { return is_too_deep_; }
  bool is_invalid() const { return is_invalid_; }
  size_t offset() const { return static_cast<size_t>(position_ - begin_); }

  bool null() { return Pass({.type = JsonType::kNull}); }
  bool boolean(bool value) { return Pass({.type = JsonType::kBoolean, .boolean = value}); }
  bool number_integer(number_integer_t value) { return PassNumber(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) { return PassNumber(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t&) { return PassNumber(value); }
  bool string(string_t& value) { return Pass({.type = JsonType::kString, .text = &value}); }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return Open(JsonType::kObject); }
  bool start_array(size_t) { return Open(JsonType::kArray); }
  bool end_object() { return Close(); }
  bool end_array() { return Close(); }
  bool key(string_t& value) { return receiver_.OnKey(depth_, value); }
  template <typename Exception>
  bool parse_error(size_t, const std::string&, const Exception&) {
    is_invalid_ = true;
    return false;
  }

 private:
  bool Pass(const JsonValue& value) { return receiver_.OnValue(depth_, value, offset()); }
  bool PassNumber(double value) { return Pass({.type = JsonType::kNumber, .number = value}); }
  bool Open(JsonType type) {
    if (depth_ == kMaxJsonDepth) {
      is_too_deep_ = true;
      return false;
    }
    const bool goes_on = Pass({.type = type});
    ++depth_;
    return goes_on;
  }
  bool Close() { return receiver_.OnClose(--depth_); }

  const char* begin_;
  const char* position_;
  JsonReceiver& receiver_;
  int depth_ = 0;
  bool is_too_deep_ = false;
  bool is_invalid_ = false;
};

}  // namespace

JsonScanResult ScanJson(std::string_view text, JsonReceiver& receiver) {
  using Status = JsonScanResult::Status;
  // nlohmann's lexer takes a NUL for the end of the text and would not see what follows.
  const size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return {Status::kInvalid, nul};
  SaxAdapter adapter(text.data(), receiver);
  const TrackingIterator begin(text.data(), adapter.position());
  const TrackingIterator end(text.data() + text.size(), adapter.position());
  if (Json::sax_parse(begin, end, &adapter)) return {Status::kComplete, 0};
  if (adapter.is_too_deep()) return {Status::kTooDeep, adapter.offset()};
  if (adapter.is_invalid()) return {Status::kInvalid, adapter.offset()};
  return {Status::kStopped, adapter.offset()};
}

}  // namespace gateway
