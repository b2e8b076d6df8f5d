// What replicas share: one document per provider (with its targets) and per limited client, each a
// set of named fields. Plain values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "ratelimitd/core/failure_window.h"

namespace ratelimitd {

enum class DocumentKind : uint8_t { kProvider, kClient };

struct DocumentKey {
  DocumentKind kind = DocumentKind::kProvider;
  std::string name;
  auto operator<=>(const DocumentKey&) const = default;

  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, const DocumentKey& key) {
    return Hash::combine(std::move(hash), key.kind, key.name);
  }
};

// A provider's own facts are in the field "p", those of its targets in "t:<model>", a client's
// limits in "c".
inline constexpr std::string_view kProviderField = "p";
inline constexpr std::string_view kTargetFieldPrefix = "t:";
inline constexpr std::string_view kClientField = "c";

// One field of one document, as a transaction works on it.
struct FieldName {
  DocumentKey document;
  std::string field;
  auto operator<=>(const FieldName&) const = default;
};

}  // namespace ratelimitd
