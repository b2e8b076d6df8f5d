#include "common/unit_text.h"

#include <array>
#include <cassert>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "common/concat.h"

namespace common {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr std::array<Unit, 5> kDurationUnits = {
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};
constexpr std::array<Unit, 7> kByteUnits = {{{"", 1},
                                             {"KB", 1'000},
                                             {"MB", 1'000'000},
                                             {"GB", 1'000'000'000},
                                             {"KiB", int64_t{1} << 10},
                                             {"MiB", int64_t{1} << 20},
                                             {"GiB", int64_t{1} << 30}}};
constexpr int64_t kMaxDurationMs = int64_t{3'653} * 86'400'000;
constexpr int64_t kMaxBytes = int64_t{1} << 62;
constexpr size_t kMaxFractionDigits = 9;

template <size_t N>
const Unit* FindUnit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

// Takes the longest prefix of `text` whose characters satisfy `accepts`.
std::string_view TakeWhile(std::string_view& text, bool (*accepts)(unsigned char)) {
  size_t size = 0;
  while (size < text.size() && accepts(static_cast<unsigned char>(text[size]))) ++size;
  const std::string_view taken = text.substr(0, size);
  text.remove_prefix(size);
  return taken;
}

// Value of decimal digits, stopping at `limit` so that no later arithmetic overflows.
int64_t ParseDigits(std::string_view digits, int64_t limit) {
  int64_t value = 0;
  for (const char digit : digits) {
    if (value > (limit - (digit - '0')) / 10) return limit;
    value = value * 10 + (digit - '0');
  }
  return value;
}

absl::Status Malformed(std::string_view text) {
  return absl::InvalidArgumentError(Concat(
      "\"", text, "\" is no duration; write for instance 250ms, 5s, 15m, 24h, 35d or 1h30m"));
}

absl::Status TooFine() {
  return absl::InvalidArgumentError("a duration is a whole number of milliseconds");
}

absl::Status TooLong() { return absl::InvalidArgumentError("a duration is at most 10 years"); }

// Milliseconds of the digits after the point, for instance "5" of "1.5s" is 500.
absl::StatusOr<int64_t> ParseFraction(std::string_view digits, int64_t factor) {
  if (digits.size() > kMaxFractionDigits) return TooFine();
  int64_t scale = 1;
  for (size_t i = 0; i < digits.size(); ++i) scale *= 10;
  const int64_t scaled = ParseDigits(digits, scale) * factor;
  if (scaled % scale != 0) return TooFine();
  return scaled / scale;
}

}  // namespace

absl::StatusOr<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds(0);
  if (text.empty()) return Malformed(text);
  int64_t total_ms = 0;
  int64_t previous_factor = kMaxDurationMs;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::string_view whole = TakeWhile(rest, absl::ascii_isdigit);
    std::string_view fraction;
    if (!rest.empty() && rest.front() == '.') {
      rest.remove_prefix(1);
      fraction = TakeWhile(rest, absl::ascii_isdigit);
      if (fraction.empty()) return Malformed(text);
    }
    const Unit* unit = FindUnit(kDurationUnits, TakeWhile(rest, absl::ascii_isalpha));
    if (whole.empty() || unit == nullptr || unit->factor >= previous_factor) return Malformed(text);
    previous_factor = unit->factor;

    const absl::StatusOr<int64_t> fraction_ms = ParseFraction(fraction, unit->factor);
    if (!fraction_ms.ok()) return fraction_ms.status();
    const int64_t count = ParseDigits(whole, kMaxDurationMs + 1);
    if (count > kMaxDurationMs / unit->factor) return TooLong();
    total_ms += count * unit->factor + *fraction_ms;
    if (total_ms > kMaxDurationMs) return TooLong();
  }
  return std::chrono::milliseconds(total_ms);
}

std::string RenderDuration(std::chrono::milliseconds duration) {
  assert(duration.count() >= 0);
  std::string text;
  int64_t rest = duration.count();
  for (const Unit& unit : kDurationUnits) {
    if (rest >= unit.factor) text += Concat(rest / unit.factor, unit.name);
    rest %= unit.factor;
  }
  return text.empty() ? "0s" : text;
}

absl::StatusOr<int64_t> ParseByteSize(std::string_view text) {
  std::string_view rest = text;
  const std::string_view digits = TakeWhile(rest, absl::ascii_isdigit);
  const Unit* unit = FindUnit(kByteUnits, rest);
  if (digits.empty() || unit == nullptr) {
    return absl::InvalidArgumentError(
        Concat("\"", text, "\" is no size; write for instance 512, 16KiB, 32MiB or 1GiB"));
  }
  const int64_t count = ParseDigits(digits, kMaxBytes + 1);
  if (count > kMaxBytes / unit->factor) {
    return absl::InvalidArgumentError("a size is at most 2^62 bytes");
  }
  return count * unit->factor;
}

}  // namespace common
