#include "gateway/core/request_deadline.h"

#include <algorithm>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {

using std::chrono::milliseconds;

std::variant<std::optional<milliseconds>, Failure> ParseTimeout(const Headers& headers) {
  if (!headers.Has(kTimeoutHeader)) return std::nullopt;
  const std::string_view text = headers.Get(kTimeoutHeader);
  int64_t number = 0;
  for (const char c : text) {
    if (IsDigit(c)) number = std::min(10 * number + (c - '0'), kLongestTimeout.count());
  }
  if (headers.Count(kTimeoutHeader) > 1 || !std::all_of(text.begin(), text.end(), IsDigit) ||
      number == 0) {
    return MakeFailure(FailureKind::kBadRequest,
                       common::Concat("The header ", kTimeoutHeader,
                                      " must be one positive number of milliseconds."));
  }
  return milliseconds(number);
}

Failure DeadlineExceeded() {
  return MakeFailure(
      FailureKind::kDeadlineExceeded,
      common::Concat("The time that ", kTimeoutHeader, " gives this request has passed."));
}

}  // namespace gateway
