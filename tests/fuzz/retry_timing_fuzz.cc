// Whatever a provider says about time, the wait is none or plausible.
#include <array>
#include <string>

#include "gateway/core/retry_timing.h"
#include "gateway/core/time_text.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array kNames = {"retry-after",       "retry-after-ms",
                                 "ratelimit",         "ratelimit-reset",
                                 "x-ratelimit-reset", "anthropic-ratelimit-tokens-reset"};
  const auto input = candor_test::TakeInput(data, size);
  const size_t line = input.text.find('\n');
  const std::string_view value = input.text.substr(0, line);
  const std::string_view rest =
      line == std::string_view::npos ? std::string_view() : input.text.substr(line + 1);
  gateway::Headers headers;
  headers.Add(kNames[input.choice % kNames.size()], value);
  headers.Add("date", rest.substr(0, 40));
  for (const char* name :
       {"ratelimit-remaining", "x-ratelimit-remaining", "anthropic-ratelimit-tokens-remaining"}) {
    headers.Add(name, "0");
  }
  const common::WallTime now{std::chrono::seconds(1'767'225'600)};
  const auto timing = gateway::ReadRetryTiming(headers, gateway::ReadErrorBody(rest), now);
  candor_test::Require(!timing.retry_after || (timing.retry_after->count() >= 0 &&
                                               *timing.retry_after <= gateway::kMaxPlausibleWait));
  const auto duration = gateway::ParseGoDuration(value);
  candor_test::Require(!duration || *duration <= gateway::kMaxPlausibleWait);
  return 0;
}
