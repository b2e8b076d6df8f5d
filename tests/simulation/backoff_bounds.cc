#include "tests/simulation/backoff_bounds.h"

#include <algorithm>

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kRounding = 2ms;
constexpr milliseconds kAbsurd = 24h * 365;

}  // namespace

bool BackoffBounds::OnLimit(const ratelimitd::BackoffSettings& settings, const Told& told, int life,
                            Heard heard, MonotonicTime now, Turn turn) {
  const bool is_surely_over = now >= ceiling_;
  const bool is_usable = told.figure && *told.figure >= 0ms && *told.figure <= kAbsurd;
  MonotonicTime shortest = told.happened_at;
  MonotonicTime longest = told.happened_at + kRounding;
  if (is_usable) {
    const milliseconds figure = std::clamp<milliseconds>(*told.figure, 1s, settings.ceiling);
    shortest += figure;
    longest += figure + figure / 5;
  } else {
    const bool is_same_event = now < floor_ && EraOf(told, life, mark_) == Era::kBefore;
    if (is_same_event) return false;
    shortest += settings.initial - settings.initial / 4;
    longest += settings.max + settings.max / 4;
  }
  if (longest <= now) return false;
  const bool must_move =
      shortest > now + kRounding && (is_usable ? shortest > ceiling_ : is_surely_over);
  if (heard == Heard::kYes && shortest > now && (is_usable || is_surely_over)) {
    floor_ = std::max(floor_, shortest);
  }
  ceiling_ = std::max(ceiling_, longest);
  if (must_move && heard == Heard::kYes) {
    mark_.Set(turn, now);
  } else {
    mark_.MaybeSet(turn, now);
  }
  return must_move;
}

void BackoffBounds::OnSuccess(const Told& told, int life, MonotonicTime now) {
  if (told.grant == nullptr || told.grant->life != life || now >= ceiling_) return;
  const Era era = EraOf(told, life, mark_);
  if (era != Era::kBefore) floor_ = std::min(floor_, now);
  if (era == Era::kAfter) ceiling_ = now;
}

void BackoffBounds::OnMemory(MonotonicTime until, MonotonicTime now, Turn turn) {
  if (until <= floor_) return;
  ceiling_ = std::max(ceiling_, until);
  mark_.MaybeSet(turn, now);
}

void BackoffBounds::Restore(MonotonicTime floor, MonotonicTime ceiling, MonotonicTime now,
                            Turn turn) {
  *this = BackoffBounds();
  floor_ = floor;
  ceiling_ = ceiling;
  if (ceiling > now) mark_.Set(turn, now);
}

void BackoffBounds::LoseTrack(Floor floor, MonotonicTime now, Turn turn) {
  if (floor == Floor::kMayBeLost) floor_ = MonotonicTime();
  // What is told again may end a little later.
  if (ceiling_ > now) ceiling_ += 2s;
  mark_ = {0, turn, now};
}

void BackoffBounds::OnClockStep(const ratelimitd::BackoffSettings& settings, MonotonicTime now) {
  floor_ = MonotonicTime();
  if (ceiling_ != MonotonicTime())
    ceiling_ = now + settings.ceiling + settings.ceiling / 5 + kRounding;
}

}  // namespace simulation
