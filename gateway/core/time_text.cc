#include "gateway/core/time_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <string>

#include "common/concat.h"
#include "gateway/core/ascii.h"

namespace gateway {
namespace {

using common::WallTime;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using OptionalWait = std::optional<milliseconds>;

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kMaxPlausibleNanos = nanoseconds(kMaxPlausibleWait).count();
// More digits than any plausible wait has in any unit.
constexpr int kMaxDigits = 17;

struct Decimal {
  int64_t whole = 0;
  int64_t billionths = 0;  // rounded up
  bool has_fraction = false;
};

// Takes digits with an optional fraction off the front of `text`.
std::optional<Decimal> TakeDecimal(std::string_view& text) {
  Decimal decimal;
  size_t at = 0;
  while (at < text.size() && IsDigit(text[at])) {
    if (at == kMaxDigits) return std::nullopt;
    decimal.whole = decimal.whole * 10 + (text[at++] - '0');
  }
  if (at == 0) return std::nullopt;
  if (at + 1 < text.size() && text[at] == '.' && IsDigit(text[at + 1])) {
    decimal.has_fraction = true;
    int64_t place = kNanosPerSecond / 10;
    bool has_more = false;
    for (++at; at < text.size() && IsDigit(text[at]); ++at, place /= 10) {
      decimal.billionths += place * (text[at] - '0');
      has_more |= place == 0 && text[at] != '0';
    }
    decimal.billionths += has_more ? 1 : 0;
  }
  text.remove_prefix(at);
  return decimal;
}

// `decimal` units of `unit`; nothing when that is more than plausible.
std::optional<nanoseconds> Multiply(const Decimal& decimal, nanoseconds unit) {
  const int64_t size = unit.count();
  if (decimal.whole > kMaxPlausibleNanos / size) return std::nullopt;
  // The unit is at most a day, so its count times the fraction would not fit: scale it first.
  const int64_t fraction =
      size >= kNanosPerSecond ? size / kNanosPerSecond * decimal.billionths
                              : (size * decimal.billionths + kNanosPerSecond - 1) / kNanosPerSecond;
  return nanoseconds(decimal.whole * size + fraction);
}

OptionalWait Plausible(std::optional<nanoseconds> wait) {
  if (!wait || wait->count() < 0 || *wait > kMaxPlausibleWait) return std::nullopt;
  return std::chrono::ceil<milliseconds>(*wait);
}

OptionalWait ParseNumber(std::string_view text, nanoseconds unit) {
  text = Trim(text);
  const auto decimal = TakeDecimal(text);
  if (!decimal || !text.empty()) return std::nullopt;
  return Plausible(Multiply(*decimal, unit));
}

struct Unit {
  std::string_view name;
  nanoseconds size;
};

constexpr std::array kGoUnits = {Unit{"d", std::chrono::hours(24)},
                                 Unit{"h", std::chrono::hours(1)},
                                 Unit{"m", std::chrono::minutes(1)},
                                 Unit{"s", std::chrono::seconds(1)},
                                 Unit{"ms", std::chrono::milliseconds(1)},
                                 Unit{"us", std::chrono::microseconds(1)},
                                 Unit{"ns", nanoseconds(1)}};

constexpr std::array kTextUnits = {Unit{"ms", std::chrono::milliseconds(1)},
                                   Unit{"millisecond", std::chrono::milliseconds(1)},
                                   Unit{"milliseconds", std::chrono::milliseconds(1)},
                                   Unit{"s", std::chrono::seconds(1)},
                                   Unit{"sec", std::chrono::seconds(1)},
                                   Unit{"secs", std::chrono::seconds(1)},
                                   Unit{"second", std::chrono::seconds(1)},
                                   Unit{"seconds", std::chrono::seconds(1)},
                                   Unit{"m", std::chrono::minutes(1)},
                                   Unit{"min", std::chrono::minutes(1)},
                                   Unit{"mins", std::chrono::minutes(1)},
                                   Unit{"minute", std::chrono::minutes(1)},
                                   Unit{"minutes", std::chrono::minutes(1)},
                                   Unit{"h", std::chrono::hours(1)},
                                   Unit{"hr", std::chrono::hours(1)},
                                   Unit{"hrs", std::chrono::hours(1)},
                                   Unit{"hour", std::chrono::hours(1)},
                                   Unit{"hours", std::chrono::hours(1)},
                                   Unit{"d", std::chrono::hours(24)},
                                   Unit{"day", std::chrono::hours(24)},
                                   Unit{"days", std::chrono::hours(24)}};

// Takes letters off the front of `text`.
std::string_view TakeLetters(std::string_view& text) {
  size_t size = 0;
  while (size < text.size() && IsAlphanumeric(text[size]) && !IsDigit(text[size])) ++size;
  const std::string_view letters = text.substr(0, size);
  text.remove_prefix(size);
  return letters;
}

template <typename Units>
const Unit* FindUnit(const Units& units, std::string_view name) {
  const auto unit =
      std::find_if(units.begin(), units.end(), [name](const Unit& u) { return u.name == name; });
  return unit == units.end() ? nullptr : &*unit;
}

// A wait at the start of `text`, of one or several parts: "7m12s", "26 seconds", "1 minute 30 s".
OptionalWait ParseTextDuration(std::string_view text) {
  std::optional<nanoseconds> total;
  while (true) {
    std::string_view rest = text;
    while (rest.starts_with(' ') || (total && rest.starts_with(','))) rest.remove_prefix(1);
    if (total && rest.starts_with("and ")) rest.remove_prefix(4);
    const auto decimal = TakeDecimal(rest);
    if (!decimal) break;
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const Unit* unit = FindUnit(kTextUnits, TakeLetters(rest));
    if (unit == nullptr) break;
    const auto part = Multiply(*decimal, unit->size);
    if (!part) return std::nullopt;
    total = total.value_or(nanoseconds(0)) + *part;
    if (*total > kMaxPlausibleWait) return std::nullopt;
    text = rest;
  }
  return Plausible(total);
}

// Reads fixed fields off the front of a text.
class FieldParser {
 public:
  explicit FieldParser(std::string_view text) : rest_(text) {}

  // Exactly `digits` digits.
  bool Number(int digits, int& value) {
    if (rest_.size() < static_cast<size_t>(digits)) return false;
    value = 0;
    for (int i = 0; i < digits; ++i) {
      if (!IsDigit(rest_[i])) return false;
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return true;
  }
  bool Literal(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  bool Month(int& month) {
    constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
    const size_t at = rest_.size() < 3 ? std::string_view::npos : kMonths.find(rest_.substr(0, 3));
    if (at == std::string_view::npos || at % 3 != 0) return false;
    month = static_cast<int>(at / 3) + 1;
    rest_.remove_prefix(3);
    return true;
  }
  // Up to and including `mark`.
  bool SkipPast(char mark) {
    const size_t at = rest_.find(mark);
    if (at == std::string_view::npos) return false;
    rest_.remove_prefix(at + 1);
    return true;
  }
  std::string_view& rest() { return rest_; }

 private:
  std::string_view rest_;
};

struct CivilTime {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

std::optional<WallTime> ToWallTime(const CivilTime& time) {
  using namespace std::chrono;
  const year_month_day date{year(time.year), month(static_cast<unsigned>(time.month)),
                            day(static_cast<unsigned>(time.day))};
  // WallTime counts nanoseconds in 64 bits: years beyond 2262 do not fit. 60 is a leap second.
  if (!date.ok() || time.year < 1970 || time.year > 2200) return std::nullopt;
  if (time.hour > 23 || time.minute > 59 || time.second > 60) return std::nullopt;
  return WallTime(sys_days(date)) + hours(time.hour) + minutes(time.minute) + seconds(time.second);
}

bool TakeTimeOfDay(FieldParser& parser, CivilTime& time) {
  return parser.Number(2, time.hour) && parser.Literal(":") && parser.Number(2, time.minute) &&
         parser.Literal(":") && parser.Number(2, time.second);
}

// "Sun, 06 Nov 1994 08:49:37 GMT"
bool ParseFixdate(FieldParser parser, CivilTime& time) {
  return parser.SkipPast(',') && parser.Literal(" ") && parser.Number(2, time.day) &&
         parser.Literal(" ") && parser.Month(time.month) && parser.Literal(" ") &&
         parser.Number(4, time.year) && parser.Literal(" ") && TakeTimeOfDay(parser, time) &&
         parser.Literal(" GMT") && parser.rest().empty();
}

// "Sunday, 06-Nov-94 08:49:37 GMT". Every two-digit year that a server of today writes is 20xx.
bool ParseRfc850(FieldParser parser, CivilTime& time) {
  const bool is_valid = parser.SkipPast(',') && parser.Literal(" ") && parser.Number(2, time.day) &&
                        parser.Literal("-") && parser.Month(time.month) && parser.Literal("-") &&
                        parser.Number(2, time.year) && parser.Literal(" ") &&
                        TakeTimeOfDay(parser, time) && parser.Literal(" GMT") &&
                        parser.rest().empty();
  time.year += 2000;
  return is_valid;
}

// "Sun Nov  6 08:49:37 1994"
bool ParseAsctime(FieldParser parser, CivilTime& time) {
  if (!parser.SkipPast(' ') || !parser.Month(time.month) || !parser.Literal(" ")) return false;
  const bool has_day =
      parser.Literal(" ") ? parser.Number(1, time.day) : parser.Number(2, time.day);
  return has_day && parser.Literal(" ") && TakeTimeOfDay(parser, time) && parser.Literal(" ") &&
         parser.Number(4, time.year) && parser.rest().empty();
}

bool TakeDate(FieldParser& parser, CivilTime& time) {
  return parser.Number(4, time.year) && parser.Literal("-") && parser.Number(2, time.month) &&
         parser.Literal("-") && parser.Number(2, time.day);
}

// "+02:00" or "Z"; nothing when neither.
std::optional<std::chrono::minutes> TakeOffset(FieldParser& parser) {
  if (parser.Literal("Z") || parser.Literal("z")) return std::chrono::minutes(0);
  const bool is_east = parser.Literal("+");
  if (!is_east && !parser.Literal("-")) return std::nullopt;
  int hour = 0;
  int minute = 0;
  if (!parser.Number(2, hour) || !parser.Literal(":") || !parser.Number(2, minute)) {
    return std::nullopt;
  }
  const auto offset = std::chrono::hours(hour) + std::chrono::minutes(minute);
  return is_east ? offset : -offset;
}

// "2026-01-02 at 00:00 utc", "2026-01-02t03:04:05z", a date alone.
OptionalWait ParseTextMoment(std::string_view text, WallTime now) {
  FieldParser parser(text);
  CivilTime time;
  if (!TakeDate(parser, time)) return std::nullopt;
  if (parser.Literal(" at ") || parser.Literal("t") || parser.Literal(" ")) {
    FieldParser clock = parser;
    if (clock.Number(2, time.hour) && clock.Literal(":") && clock.Number(2, time.minute)) {
      if (clock.Literal(":") && !clock.Number(2, time.second)) time.second = 0;
    } else {
      time.hour = time.minute = 0;
    }
  }
  const auto moment = ToWallTime(time);
  return moment ? WaitUntil(*moment, now) : std::nullopt;
}

// What precedes a wait in a message.
constexpr std::array<std::string_view, 17> kWaitPhrases = {
    "try again in", "try again after", "try again at", "retry after", "retry in",  "retry again in",
    "retry at",     "reset after",     "resets after", "reset in",    "resets in", "resets at",
    "reset at",     "available in",    "access on",    "please wait", "wait for"};

OptionalWait ParseAfterPhrase(std::string_view rest, WallTime now) {
  while (rest.starts_with(' ') || rest.starts_with(':')) rest.remove_prefix(1);
  for (const std::string_view filler : {"about ", "approximately ", "at least ", "another "}) {
    if (rest.starts_with(filler)) rest.remove_prefix(filler.size());
  }
  const OptionalWait wait = ParseTextDuration(rest);
  return wait ? wait : ParseTextMoment(rest, now);
}

}  // namespace

OptionalWait LargerWait(OptionalWait a, OptionalWait b) {
  if (!a || !b) return a ? a : b;
  return std::max(*a, *b);
}

OptionalWait WaitUntil(WallTime moment, WallTime now) {
  if (moment <= now) return milliseconds(0);
  return Plausible(moment - now);
}

OptionalWait WaitUntilEpoch(double epoch, WallTime now) {
  constexpr double kFirstMilliseconds = 1e11;
  constexpr double kLatest = 7e9;  // Seconds; in the year 2191.
  const double seconds = epoch >= kFirstMilliseconds ? epoch / 1000 : epoch;
  if (!(seconds >= 1e9 && seconds <= kLatest)) return std::nullopt;
  const auto since_1970 = milliseconds(static_cast<int64_t>(std::ceil(seconds * 1000)));
  return WaitUntil(WallTime(since_1970), now);
}

OptionalWait ParseSeconds(std::string_view text) {
  return ParseNumber(text, std::chrono::seconds(1));
}

OptionalWait ParseMilliseconds(std::string_view text) { return ParseNumber(text, milliseconds(1)); }

OptionalWait ParseGoDuration(std::string_view text) {
  text = Trim(text);
  if (text.empty()) return std::nullopt;
  nanoseconds total(0);
  const Unit* last = nullptr;
  bool had_fraction = false;
  while (!text.empty()) {
    const auto decimal = TakeDecimal(text);
    if (!decimal || had_fraction) return std::nullopt;
    had_fraction = decimal->has_fraction;
    const Unit* unit = FindUnit(kGoUnits, TakeLetters(text));
    if (unit == nullptr || (last != nullptr && unit <= last)) return std::nullopt;
    last = unit;
    const auto part = Multiply(*decimal, unit->size);
    if (!part) return std::nullopt;
    total += *part;
  }
  return Plausible(total);
}

std::optional<WallTime> ParseHttpDate(std::string_view text) {
  const FieldParser parser(Trim(text));
  for (const auto parse : {ParseFixdate, ParseRfc850, ParseAsctime}) {
    CivilTime time;
    if (parse(parser, time)) return ToWallTime(time);
  }
  return std::nullopt;
}

std::optional<WallTime> ParseRfc3339(std::string_view text) {
  FieldParser parser(Trim(text));
  CivilTime time;
  if (!TakeDate(parser, time)) return std::nullopt;
  if (!parser.Literal("T") && !parser.Literal("t") && !parser.Literal(" ")) return std::nullopt;
  if (!TakeTimeOfDay(parser, time)) return std::nullopt;
  nanoseconds fraction(0);
  if (parser.rest().starts_with('.')) {
    const std::string with_zero = common::Concat("0", parser.rest());
    std::string_view rest = with_zero;
    const auto decimal = TakeDecimal(rest);
    if (!decimal || !decimal->has_fraction) return std::nullopt;
    fraction = nanoseconds(decimal->billionths);
    parser.rest().remove_prefix(parser.rest().size() - rest.size());
  }
  const auto offset = TakeOffset(parser);
  const auto moment = ToWallTime(time);
  if (!offset || !moment || !parser.rest().empty()) return std::nullopt;
  return *moment - *offset + std::chrono::duration_cast<WallTime::duration>(fraction);
}

std::string RenderUnitDuration(milliseconds wait) {
  if (wait < std::chrono::seconds(1))
    return common::Concat(std::max<int64_t>(wait.count(), 0), "ms");
  const int64_t seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  std::string text;
  if (seconds >= 3600) text += common::Concat(seconds / 3600, "h");
  if (seconds >= 60) text += common::Concat(seconds / 60 % 60, "m");
  return common::Concat(text, seconds % 60, "s");
}

OptionalWait ParseWaitInText(std::string_view text, WallTime now) {
  OptionalWait longest;
  for (const std::string_view phrase : kWaitPhrases) {
    for (size_t at = text.find(phrase); at != std::string_view::npos;
         at = text.find(phrase, at + 1)) {
      longest = LargerWait(longest, ParseAfterPhrase(text.substr(at + phrase.size()), now));
    }
  }
  return longest;
}

OptionalWait ParseReset(std::string_view text, WallTime now) {
  if (const auto moment = ParseRfc3339(text)) return WaitUntil(*moment, now);
  text = Trim(text);
  std::string_view rest = text;
  const auto decimal = TakeDecimal(rest);
  if (!decimal || !rest.empty()) return std::nullopt;
  constexpr int64_t kFirstEpoch = 1'000'000'000;
  if (decimal->whole < kFirstEpoch) return ParseSeconds(text);
  return WaitUntilEpoch(static_cast<double>(decimal->whole), now);
}

}  // namespace gateway
