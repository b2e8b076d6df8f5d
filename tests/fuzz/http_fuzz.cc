// However the bytes are cut, the message is the same or refused for the same reason, and no more of
// it is kept than the limits allow.
#include <string>
#include <vector>

#include "tests/fuzz/fuzz_input.h"
#include "tests/support/read_http.h"

namespace {

using candor_test::HttpResult;
using candor_test::Require;

constexpr int64_t kMaxHeaderBytes = 512;
constexpr int64_t kMaxBodyBytes = 256;

HttpResult Read(const std::vector<std::string_view>& pieces, bool is_request) {
  return is_request ? candor_test::ReadRequest(pieces, kMaxHeaderBytes, kMaxBodyBytes)
                    : candor_test::ReadResponse(pieces);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const size_t cut = candor_test::CutAt(input);
  for (const bool is_request : {true, false}) {
    const HttpResult whole = Read({input.text}, is_request);
    const HttpResult split = Read({input.text.substr(0, cut), input.text.substr(cut)}, is_request);
    Require(whole.is_done == split.is_done);
    Require(!whole.is_done || whole == split);
    if (!whole.error.empty() && !split.error.empty()) Require(whole.error == split.error);
    Require(!is_request || whole.body.size() <= kMaxBodyBytes);
    Require(whole.body.size() <= input.text.size());
  }
  return 0;
}
