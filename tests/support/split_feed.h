// Cuts an input at every byte, for tests of incremental parsers.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

namespace candor_test {

// Calls `run` with the pieces of `input`: whole, cut in two at every byte, cut into single bytes.
inline void ForEverySplit(std::string_view input,
                          const std::function<void(const std::vector<std::string_view>&)>& run) {
  run({input});
  for (size_t cut = 1; cut < input.size(); ++cut) {
    run({input.substr(0, cut), input.substr(cut)});
  }
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < input.size(); ++i) bytes.push_back(input.substr(i, 1));
  run(bytes);
}

}  // namespace candor_test
