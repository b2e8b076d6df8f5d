#include "ratelimitd/core/backoff.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "ratelimitd/core/delay.h"

namespace ratelimitd {
namespace {

constexpr milliseconds kLowestFigure = std::chrono::seconds(1);
constexpr milliseconds kAbsurdFigure = std::chrono::hours(24 * 365);

bool IsUsable(std::optional<milliseconds> figure) {
  return figure.has_value() && *figure >= milliseconds(0) && *figure <= kAbsurdFigure;
}

}  // namespace

bool Backoff::Set(const BackoffSettings& settings, const Evidence& evidence,
                  std::optional<milliseconds> figure, const Moment& moment, Order order) {
  if (!IsUsable(figure)) figure.reset();
  const bool is_same_event = count_ > 0 && evidence.Predates(stamp_);
  if (is_same_event && !figure && IsActive(moment.now)) return false;
  const int decayed = CountAt(moment.now);
  const int count = is_same_event ? std::max(decayed, 1) : decayed + 1;

  const milliseconds length = Length(settings, figure, count, moment.chance);
  const MonotonicTime until = evidence.happened_at + length;
  // The count fades from the deadline on, so that without a new one it stays.
  if (until <= moment.now) return false;
  count_ = count;
  if (until <= until_) return false;
  until_ = until;
  stamp_ = {order, moment.now};
  cause_ = {absl::StrCat("The provider answered ", DescribeEvidence(evidence),
                         figure ? " and asked to wait " : " without a usable wait; backing off ",
                         DescribeLength(figure.value_or(length)), "."),
            std::string(evidence.reporter)};
  return true;
}

milliseconds Backoff::Length(const BackoffSettings& settings, std::optional<milliseconds> figure,
                             int count, double chance) {
  if (figure) {
    const milliseconds ceiling = std::max(kLowestFigure, settings.ceiling);
    return Jitter(std::clamp(*figure, kLowestFigure, ceiling), 1.0, 1.2, chance);
  }
  return Jitter(Escalate(settings.initial, 2, count - 1, settings.max), 0.75, 1.25, chance);
}

bool Backoff::ClearBy(const Evidence& success, MonotonicTime now) {
  if (!IsActive(now) || !success.Follows(stamp_)) return false;
  until_ = now;
  return true;
}

void Backoff::Restore(MonotonicTime until, int count, const Stamp& stamp, Cause cause) {
  if (until <= until_) return;
  until_ = until;
  count_ = std::max(count_, count);
  stamp_ = stamp;
  cause_ = std::move(cause);
}

int Backoff::CountAt(MonotonicTime now) const { return DecayPerMinute(count_, until_, now); }

}  // namespace ratelimitd
