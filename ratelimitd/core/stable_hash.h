// FNV-1a: the same number for the same text in every process and build, as replicas must agree.
#pragma once

#include <cstdint>
#include <string_view>

namespace ratelimitd {

inline constexpr uint64_t kHashStart = 0xcbf29ce484222325;

constexpr uint64_t StableHash(std::string_view text, uint64_t start = kHashStart) {
  uint64_t hash = start;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace ratelimitd
