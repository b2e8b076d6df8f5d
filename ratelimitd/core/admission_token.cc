#include "ratelimitd/core/admission_token.h"

namespace ratelimitd {
namespace {

constexpr int kLifeBytes = 4;
constexpr int kMaxVarintBytes = 10;

void AppendVarint(uint64_t value, std::string& out) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::optional<uint64_t> TakeVarint(std::string_view& text) {
  uint64_t value = 0;
  for (int i = 0; i < kMaxVarintBytes && !text.empty(); ++i) {
    const auto byte = static_cast<uint8_t>(text.front());
    text.remove_prefix(1);
    if (i == kMaxVarintBytes - 1 && byte > 1) return std::nullopt;
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

}  // namespace

std::string RenderToken(const AdmissionToken& token) {
  std::string text;
  for (int i = 0; i < kLifeBytes; ++i) text.push_back(static_cast<char>(token.life >> (8 * i)));
  for (const uint64_t number :
       {token.target_id, token.order, token.client_id, token.lease_id, token.cost_tokens}) {
    AppendVarint(number, text);
  }
  return text;
}

std::optional<AdmissionToken> ParseToken(std::string_view text) {
  if (text.size() < kLifeBytes) return std::nullopt;
  AdmissionToken token;
  for (int i = 0; i < kLifeBytes; ++i) {
    token.life |= static_cast<uint32_t>(static_cast<uint8_t>(text[i])) << (8 * i);
  }
  text.remove_prefix(kLifeBytes);
  for (uint64_t* number :
       {&token.target_id, &token.order, &token.client_id, &token.lease_id, &token.cost_tokens}) {
    const auto value = TakeVarint(text);
    if (!value) return std::nullopt;
    *number = *value;
  }
  const bool is_cost = token.cost_tokens <= static_cast<uint64_t>(INT64_MAX);
  if (!text.empty() || !is_cost) return std::nullopt;
  return token;
}

}  // namespace ratelimitd
