// However the bytes are cut, a whole message is the same, and no more of it is kept than the limits
// allow. What is wrong with a part that is not whole yet may be seen at once or only at its end,
// and then be called something else.
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

void RequireSame(const HttpResult& whole, const HttpResult& cut) {
  Require(whole.is_done == cut.is_done);
  Require(!whole.is_done || whole == cut);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = candor_test::TakeInput(data, size);
  const size_t cut = candor_test::CutAt(input);
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < input.text.size(); ++i) bytes.push_back(input.text.substr(i, 1));
  for (const bool is_request : {true, false}) {
    const HttpResult whole = Read({input.text}, is_request);
    RequireSame(whole, Read({input.text.substr(0, cut), input.text.substr(cut)}, is_request));
    RequireSame(whole, Read(bytes, is_request));
    Require(!is_request || whole.body.size() <= kMaxBodyBytes);
    Require(whole.body.size() <= input.text.size());
  }
  return 0;
}
