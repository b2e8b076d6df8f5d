#include "gateway/core/request_id.h"

#include <algorithm>

namespace gateway {
namespace {

constexpr size_t kMaxIdBytes = 128;

void AppendHex(uint64_t value, int digits, std::string& out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    out.push_back(kDigits[(value >> shift) & 0xf]);
  }
}

}  // namespace

bool IsWellFormedRequestId(std::string_view id) {
  const auto is_visible = [](unsigned char c) { return c > ' ' && c < 0x7f; };
  return !id.empty() && id.size() <= kMaxIdBytes && std::all_of(id.begin(), id.end(), is_visible);
}

std::string RenderRequestId(common::WallTime now, uint64_t random_high, uint64_t random_low) {
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
  std::string id;
  id.reserve(36);
  AppendHex(static_cast<uint64_t>(milliseconds) >> 16, 8, id);
  id.push_back('-');
  AppendHex(static_cast<uint64_t>(milliseconds), 4, id);
  id.push_back('-');
  AppendHex(0x7000 | (random_high & 0x0fff), 4, id);
  id.push_back('-');
  AppendHex(0x8000 | ((random_low >> 48) & 0x3fff), 4, id);
  id.push_back('-');
  AppendHex(random_low, 12, id);
  return id;
}

}  // namespace gateway
