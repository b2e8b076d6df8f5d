#include "gateway/core/small_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/json_text.h"
#include "gateway/core/ascii.h"
#include "gateway/core/json_scan.h"

namespace gateway {
namespace {

// More significant digits than these are not all kept by a double.
constexpr std::ptrdiff_t kMostDigits = 17;

// Nothing when the number has a fraction, an exponent, or too many digits.
template <typename Integer>
std::optional<Integer> WholeNumber(std::string_view token) {
  Integer number = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), number);
  if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  return number;
}

bool FitsADouble(std::string_view token, double number) {
  const std::string_view mantissa = token.substr(0, token.find_first_of("eE"));
  const std::string_view digits =
      mantissa.substr(std::min(mantissa.find_first_of("123456789"), mantissa.size()));
  const bool is_whole = token.find_first_of(".eE") == token.npos;
  return !is_whole && std::isfinite(number) &&
         std::count_if(digits.begin(), digits.end(), IsDigit) <= kMostDigits;
}

Json NumberOf(const JsonValue& value) {
  const std::string_view token = Trim(value.token);
  if (const auto whole = WholeNumber<int64_t>(token)) return *whole;
  if (const auto large = WholeNumber<uint64_t>(token)) return *large;
  if (FitsADouble(token, value.number)) return value.number;
  return Json::binary(std::vector<uint8_t>(token.begin(), token.end()));
}

// Builds the value while the text is scanned.
class Builder final : public JsonReceiver {
 public:
  bool OnKey(int, std::string& key) override {
    key_ = std::move(key);
    return true;
  }

  bool OnValue(int, const JsonValue& value, size_t) override {
    if (++values_ > kMaxJsonValues) return false;
    Json& place = NewPlace();
    switch (value.type) {
      case JsonType::kNull:
        return true;
      case JsonType::kBoolean:
        place = value.boolean;
        return true;
      case JsonType::kNumber:
        place = NumberOf(value);
        return true;
      case JsonType::kString:
        place = std::move(*value.text);
        return true;
      case JsonType::kObject:
        place = Json::object();
        break;
      case JsonType::kArray:
        place = Json::array();
        break;
    }
    open_.push_back(&place);
    return true;
  }

  bool OnClose(int) override {
    open_.pop_back();
    return true;
  }

  Json Take() { return std::move(root_); }

 private:
  // Members are appended without a look for others of their name, which would take a time that
  // grows with the square of their number. A place stays where it is as long as it is open.
  Json& NewPlace() {
    if (open_.empty()) return root_;
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(nullptr);
      return parent.back();
    }
    using Members = std::vector<std::pair<const std::string, Json>>;
    Members& members = parent.get_ref<Json::object_t&>();
    return members.emplace_back(std::move(key_), nullptr).second;
  }

  Json root_;
  std::string key_;
  std::vector<Json*> open_;
  size_t values_ = 0;
};

void AppendJson(const Json& json, std::string& out) {
  if (json.is_string()) return common::AppendJsonString(json.get_ref<const std::string&>(), out);
  if (json.is_binary()) {
    out.append(json.get_binary().begin(), json.get_binary().end());
    return;
  }
  if (!json.is_structured()) {
    out += json.dump();
    return;
  }
  out += json.is_object() ? '{' : '[';
  bool is_first = true;
  for (auto item = json.begin(); item != json.end(); ++item) {
    if (!std::exchange(is_first, false)) out += ',';
    if (json.is_object()) {
      common::AppendJsonString(item.key(), out);
      out += ':';
    }
    AppendJson(*item, out);
  }
  out += json.is_object() ? '}' : ']';
}

// Leaves out what lies deeper than errors are read.
void CutDeep(Json& json, int depth) {
  if (!json.is_structured()) return;
  for (Json& item : json) {
    if (item.is_structured() && depth == kMaxErrorDepth) item = nullptr;
    CutDeep(item, depth + 1);
  }
}

}  // namespace

Json ParseJson(std::string_view text) {
  Builder builder;
  const bool is_json = ScanJson(text, builder).status == JsonScanResult::Status::kComplete;
  return is_json ? builder.Take() : Json(Json::value_t::discarded);
}

std::optional<Json> ParseSmallJson(std::string_view text) {
  if (text.size() > kMaxErrorBytes) return std::nullopt;
  Json json = ParseJson(text);
  if (json.is_discarded()) return std::nullopt;
  CutDeep(json, 1);
  return json;
}

std::string_view FindJsonObject(std::string_view text) {
  const size_t begin = text.find('{');
  if (begin == std::string_view::npos) return {};
  int depth = 0;
  bool is_in_string = false;
  for (size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (is_in_string) {
      if (c == '\\') ++i;
      if (c == '"') is_in_string = false;
    } else if (c == '"') {
      is_in_string = true;
    } else if (c == '{') {
      ++depth;
    } else if (c == '}' && --depth == 0) {
      return text.substr(begin, i + 1 - begin);
    }
  }
  return {};
}

std::string RenderJson(const Json& json) {
  std::string text;
  AppendJson(json, text);
  return text;
}

}  // namespace gateway
