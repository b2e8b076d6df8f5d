// The bytes of one fuzzer run, and how to say that a property does not hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace candor_test {

// Ends the program so that the fuzzer keeps the input.
inline void Require(bool holds) {
  if (!holds) std::abort();
}

// The first byte decides something about the run, the others are the input.
struct FuzzInput {
  uint8_t choice = 0;
  std::string_view text;
};

inline FuzzInput TakeInput(const uint8_t* data, size_t size) {
  if (size == 0) return {};
  return {data[0], {reinterpret_cast<const char*>(data) + 1, size - 1}};
}

// Where to cut `text`: `choice` of 256 parts along it.
inline size_t CutAt(const FuzzInput& input) { return input.text.size() * input.choice / 256; }

}  // namespace candor_test
