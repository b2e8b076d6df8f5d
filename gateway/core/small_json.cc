#include "gateway/core/small_json.h"

namespace gateway {

std::optional<Json> ParseSmallJson(std::string_view text) {
  if (text.size() > kMaxErrorBytes) return std::nullopt;
  // nlohmann's lexer takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) return std::nullopt;
  const auto is_shallow = [](int depth, Json::parse_event_t, Json&) {
    return depth <= kMaxErrorDepth;
  };
  Json json = Json::parse(text, is_shallow, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
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
  return json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace gateway
