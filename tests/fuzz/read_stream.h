// Reads a stream to its end and holds it to what every stream must be, whatever its dialect.
#pragma once

#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_input.h"
#include "tests/support/read_stream.h"

namespace candor_test {

// What the client has got of a stream. However the bytes are cut, it is the same.
inline StreamResult ReadSoundStream(gateway::StreamReader& stream,
                                    const std::vector<std::string_view>& pieces) {
  StreamResult result = ReadStream(stream, pieces);
  Require(result.is_sound);
  Require(result.is_complete != result.failure.has_value());
  Require(!result.failure || gateway::ClientStatus(*result.failure) >= 400);
  Require(result.tokens >= 0);
  return result;
}

// `text` cut at a place that the input chooses.
inline std::vector<std::string_view> CutInTwo(const FuzzInput& input) {
  const size_t cut = CutAt(input);
  return {input.text.substr(0, cut), input.text.substr(cut)};
}

}  // namespace candor_test
