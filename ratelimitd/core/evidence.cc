#include "ratelimitd/core/evidence.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ratelimitd {
namespace {

constexpr size_t kMaxCodeBytes = 64;

std::string PrintableCode(std::string_view code) {
  std::string kept;
  for (const char c : code.substr(0, kMaxCodeBytes)) {
    if (absl::ascii_isprint(static_cast<unsigned char>(c))) kept.push_back(c);
  }
  return kept;
}

}  // namespace

std::string DescribeEvidence(const Evidence& evidence) {
  std::string text = evidence.http_status == 0 ? std::string(OutcomeName(evidence.kind))
                                               : absl::StrCat("HTTP ", evidence.http_status);
  const std::string code = PrintableCode(evidence.provider_code);
  if (!code.empty()) absl::StrAppend(&text, ", ", code);
  return text;
}

std::string DescribeLength(milliseconds length) {
  const double seconds = static_cast<double>(length.count()) / 1000;
  if (seconds < 120) return absl::StrFormat("%.3g s", seconds);
  if (seconds < 7200) return absl::StrFormat("%.3g min", seconds / 60);
  return absl::StrFormat("%.3g h", seconds / 3600);
}

}  // namespace ratelimitd
