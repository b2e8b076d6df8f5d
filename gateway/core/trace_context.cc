#include "gateway/core/trace_context.h"

#include <algorithm>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

constexpr size_t kVersionDigits = 2;
constexpr size_t kTraceIdDigits = 32;
constexpr size_t kParentIdDigits = 16;
constexpr size_t kFlagsDigits = 2;
constexpr size_t kTraceIdBegin = kVersionDigits + 1;
constexpr size_t kParentIdBegin = kTraceIdBegin + kTraceIdDigits + 1;
constexpr size_t kFlagsBegin = kParentIdBegin + kParentIdDigits + 1;
constexpr size_t kParentBytes = kFlagsBegin + kFlagsDigits;
// A later version may be longer; nobody has need of more than this.
constexpr size_t kMaxParentBytes = 128;
constexpr size_t kMaxStateMembers = 32;
constexpr size_t kMaxKeyBytes = 256;
constexpr size_t kMaxValueBytes = 256;

bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }

bool IsHex(std::string_view text) { return std::all_of(text.begin(), text.end(), IsHexDigit); }

bool IsZero(std::string_view text) { return text.find_first_not_of('0') == std::string_view::npos; }

bool IsVisible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// Section 3.2.2: "version-traceid-parentid-flags", lower case; of a later version, which is not
// ff, more may follow behind a dash.
bool IsParent(std::string_view text) {
  if (text.size() < kParentBytes || text.size() > kMaxParentBytes) return false;
  const std::string_view version = text.substr(0, kVersionDigits);
  const std::string_view trace_id = text.substr(kTraceIdBegin, kTraceIdDigits);
  const std::string_view parent_id = text.substr(kParentIdBegin, kParentIdDigits);
  const std::string_view flags = text.substr(kFlagsBegin, kFlagsDigits);
  const std::string_view rest = text.substr(kParentBytes);
  const bool has_dashes = text[kTraceIdBegin - 1] == '-' && text[kParentIdBegin - 1] == '-' &&
                          text[kFlagsBegin - 1] == '-';
  if (!has_dashes || !IsHex(version) || version == "ff") return false;
  if (!rest.empty() && (version == "00" || rest.front() != '-')) return false;
  return IsHex(trace_id) && !IsZero(trace_id) && IsHex(parent_id) && !IsZero(parent_id) &&
         IsHex(flags) && IsVisible(rest);
}

// Section 3.3.1.3: a key of lower-case letters, digits and a few signs, and a value of printable
// characters without comma, equals sign or a space at its end.
bool IsMember(std::string_view member) {
  const size_t equals = member.find('=');
  if (equals == std::string_view::npos) return false;
  const std::string_view key = member.substr(0, equals);
  const std::string_view value = member.substr(equals + 1);
  const auto may_begin_key = [](char c) { return IsDigit(c) || (c >= 'a' && c <= 'z'); };
  const auto may_be_in_key = [&](char c) {
    return may_begin_key(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
  };
  const auto may_be_in_value = [](char c) { return c >= ' ' && c <= '~' && c != '='; };
  return !key.empty() && key.size() <= kMaxKeyBytes && may_begin_key(key.front()) &&
         std::all_of(key.begin(), key.end(), may_be_in_key) && !value.empty() &&
         value.size() <= kMaxValueBytes && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(), may_be_in_value);
}

// Takes the members of one header; false: invalid, which voids the whole list.
bool TakeMembers(std::string_view text, size_t& members, std::string& state) {
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    const std::string_view member = Trim(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
    if (member.empty()) continue;
    if (!IsMember(member) || ++members > kMaxStateMembers) return false;
    const size_t size = state.size() + (state.empty() ? 0 : 1) + member.size();
    if (size > kMaxTraceStateBytes) return true;
    if (!state.empty()) state += ',';
    state += member;
  }
  return true;
}

// One list may be spread over several headers.
std::string ParseState(const Headers& headers) {
  std::string state;
  size_t members = 0;
  for (const HeaderField& field : headers.fields()) {
    if (field.name == "tracestate" && !TakeMembers(field.value, members, state)) return "";
  }
  return state;
}

}  // namespace

std::string_view TraceContext::trace_id() const {
  if (parent.empty()) return {};
  return std::string_view(parent).substr(kTraceIdBegin, kTraceIdDigits);
}

TraceContext ParseTraceContext(const Headers& headers) {
  const std::string_view parent = headers.Get("traceparent");
  if (headers.Count("traceparent") != 1 || !IsParent(parent)) return {};
  return {std::string(parent), ParseState(headers)};
}

std::string RenderTraceHeaders(const TraceContext& trace) {
  if (trace.parent.empty()) return "";
  std::string lines = common::Concat("traceparent: ", trace.parent, "\r\n");
  if (!trace.state.empty()) lines += common::Concat("tracestate: ", trace.state, "\r\n");
  return lines;
}

}  // namespace gateway
