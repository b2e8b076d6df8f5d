// One text out of pieces: texts of any kind, characters and numbers. In place of absl::StrCat,
// which does not take std::string_view where Abseil is packaged with a string_view of its own.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"

namespace common {

template <typename Piece>
void AppendPiece(const Piece& piece, std::string& out) {
  if constexpr (std::is_same_v<Piece, char>) {
    out += piece;
  } else if constexpr (std::is_arithmetic_v<Piece>) {
    absl::StrAppend(&out, piece);
  } else if constexpr (std::is_convertible_v<const Piece&, std::string_view>) {
    out += std::string_view(piece);
  } else {
    out.append(piece.data(), piece.size());
  }
}

template <typename... Pieces>
std::string Concat(const Pieces&... pieces) {
  std::string text;
  (AppendPiece(pieces, text), ...);
  return text;
}

}  // namespace common
