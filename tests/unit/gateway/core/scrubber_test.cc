#include "gateway/core/scrubber.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

struct ScrubCase {
  const char* name;
  std::string text;
  std::string want;
};

TEST(ScrubberTest, RemovesCredentialsAndInsideAddressesOnly) {
  const std::vector<std::string> secrets = {"topsecret-1", "box.example.com", "abc",
                                            "0123456789abcdef"};
  const ScrubCase cases[] = {
      {"nothing to hide", "Too many requests, wait 20s. See https://example.com/docs?a=1.",
       "Too many requests, wait 20s. See https://example.com/docs?a=1."},
      {"configured secret inside a word", "key=topsecret-1x", "key=[redacted]x"},
      {"configured host", "cannot reach box.example.com:443", "cannot reach [redacted]:443"},
      {"a short secret would eat plain words", "abcd", "abcd"},
      {"long secret", "key 0123456789abcdef!", "key [redacted]!"},
      {"long secret cut short", "key 0123456789ab...", "key [redacted]..."},
      {"long secret of which little is shown", "key 012345", "key 012345"},
      {"prefix", "bad key sk-proj-1234567890abcd.", "bad key [redacted]."},
      {"prefix as a mere word", "keys start with sk-", "keys start with sk-"},
      {"half masked echo", "Wrong key given: qq-12***********wxyz. Look it up",
       "Wrong key given: [redacted]. Look it up"},
      {"google key in a public URL", "GET https://g.example.com/v1?key=AIzaSyA1234567890 failed",
       "GET https://g.example.com/v1?key=[redacted] failed"},
      {"bearer", "header 'Bearer abcdef123456' refused", "header 'Bearer [redacted]' refused"},
      {"bearer as a word", "Bearer authentication is required",
       "Bearer authentication is required"},
      {"private URL", "POST http://10.1.2.3/v1 refused", "POST [redacted] refused"},
      {"port", "POST https://models.example.com:8443/v1 refused", "POST [redacted] refused"},
      {"single label", "at http://vllm/v1", "at [redacted]"},
      {"user information", "at https://u:p@example.com/", "at [redacted]"},
      {"bare address with port", "connect to 192.168.7.9:8000: refused",
       "connect to [redacted]: refused"},
      {"version numbers stay", "needs 1.2.3 or 8.8.8.8", "needs 1.2.3 or 8.8.8.8"},
      {"cluster name", "dial llm.prod.svc.cluster.local:80", "dial [redacted]"},
      {"assignment", "Timeout, api_base=https://models.example.com/v1 model=x",
       "Timeout, api_base=[redacted] model=x"},
      {"google project", "Model `projects/blue-cat-77/locations/x` not found",
       "Model `projects/[redacted]/locations/x` not found"},
      {"dots only", "...", "..."},
  };
  for (const ScrubCase& c : cases) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(Scrub(c.text, secrets), c.want);
  }
}

TEST(ScrubberTest, KeysThatBeginAlikeLeaveNothingOfEachOther) {
  const std::string old_key = "team-key-of-2026-old-AAAAAAAA";
  const std::string new_key = "team-key-of-2026-old-AAAAAAAB-and-more";
  const std::string inner = "2026";
  for (const std::vector<std::string>& secrets :
       {std::vector<std::string>{old_key, new_key, inner}, {inner, new_key, old_key}}) {
    EXPECT_EQ(Scrub("bad key " + new_key + "!", secrets), "bad key [redacted]!");
    EXPECT_EQ(Scrub("bad key " + old_key + "!", secrets), "bad key [redacted]!");
  }
}

TEST(ScrubberTest, EveryPrefixOfATextIsScrubbedWithoutHarm) {
  const std::string text =
      "Bearer  api_key: \"x\" http://a@b:1/?k=sk-12345678901 projects/ 10.0.0.1:";
  for (size_t size = 0; size <= text.size(); ++size) {
    EXPECT_LE(Scrub(text.substr(0, size), {}).size(), text.size() + 100);
  }
}

}  // namespace
}  // namespace gateway
