// JSON text as a value that can be asked and changed, without exceptions: bounded in depth, and for
// errors, which are small and rare, in size. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace gateway {

using Json = nlohmann::ordered_json;

// Larger texts are not parsed.
inline constexpr size_t kMaxErrorBytes = 1 << 20;
// What is nested deeper is left out.
inline constexpr int kMaxErrorDepth = 24;

// Texts of more values are not parsed: a value takes up to a hundred bytes. The largest answers,
// with log probabilities of twenty words for each, have a hundred values a word.
inline constexpr size_t kMaxJsonValues = 2'000'000;

// `text` of any size as a value, in a time that grows with its length alone. Discarded
// (is_discarded) when it is no JSON, no UTF-8, nested deeper than kMaxJsonDepth, or of more than
// kMaxJsonValues. Whole numbers stay whole. A number that neither 64 bits nor a double hold is kept
// as it was written, as a binary value (is_binary, not is_number), which RenderJson writes again;
// Json::dump does not. Of several members of one name the first is found.
Json ParseJson(std::string_view text);

// `text` as a value; nothing when it is no JSON, larger than kMaxErrorBytes or no UTF-8.
std::optional<Json> ParseSmallJson(std::string_view text);

// The first JSON object inside `text`, from its opening to its closing brace, or an empty view.
std::string_view FindJsonObject(std::string_view text);

// Never fails: what is no UTF-8 is replaced.
std::string RenderJson(const Json& json);

}  // namespace gateway
