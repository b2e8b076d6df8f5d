#include "tests/simulation/block_bounds.h"

#include <algorithm>

namespace simulation {
namespace {

using namespace std::chrono_literals;

constexpr milliseconds kRounding = 2ms;
constexpr milliseconds kProbeInterval = 1h;
constexpr milliseconds kLongestReset = 24h * 35;

}  // namespace

void BlockBounds::OnSet(const ratelimitd::BlockSettings& settings, const Told& told, int life,
                        Blocked before, MonotonicTime now, Turn turn) {
  milliseconds shortest = settings.auth;
  milliseconds longest = settings.auth;
  bool may_be_same_event = told.grant == nullptr || EraOf(told, life, mark_) != Era::kAfter;
  if (told.kind == OutcomeKind::kQuotaExhausted) {
    const bool is_stated = told.figure && *told.figure >= 0ms && *told.figure <= kLongestReset;
    shortest = is_stated ? std::max<milliseconds>(*told.figure, 1s) : settings.quota;
    longest = is_stated ? shortest : settings.quota_max;
    may_be_same_event &= !is_stated;
  } else {
    is_auth_ = true;
  }
  const MonotonicTime floor = told.happened_at + shortest;
  const MonotonicTime ceiling = told.happened_at + longest + kRounding;
  if (before == Blocked::kNo || (floor > until_ceiling_ && !may_be_same_event)) {
    until_floor_ = floor;
    until_ceiling_ = ceiling;
    probe_floor_ = probe_ceiling_ = now + kProbeInterval;
    mark_.Set(turn, now);
    return;
  }
  if (ceiling <= until_floor_) return;
  until_ceiling_ = std::max(until_ceiling_, ceiling);
  probe_ceiling_ = now + kProbeInterval;
  mark_.MaybeSet(turn, now);
}

void BlockBounds::OnMemory(MonotonicTime until, Blocked before, MonotonicTime now, Turn turn) {
  is_auth_ = true;
  if (before == Blocked::kNo) {
    until_floor_ = until_ceiling_ = until;
    probe_floor_ = probe_ceiling_ = now + kProbeInterval;
    mark_.Set(turn, now);
    return;
  }
  until_ceiling_ = std::max(until_ceiling_, until);
  probe_ceiling_ = now + kProbeInterval;
  mark_.MaybeSet(turn, now);
}

void BlockBounds::OnProbe(MonotonicTime now) {
  probe_floor_ = probe_ceiling_ = now + kProbeInterval;
}

bool BlockBounds::IsProof(const Told& told, int life) const {
  const bool is_success =
      told.kind == OutcomeKind::kSuccess || told.kind == OutcomeKind::kStreamStarted;
  return is_success && told.grant != nullptr && told.grant->life == life &&
         EraOf(told, life, mark_) != Era::kBefore;
}

void BlockBounds::Restore(MonotonicTime floor, MonotonicTime ceiling, MonotonicTime probe_floor,
                          MonotonicTime probe_ceiling, MonotonicTime now, Turn turn) {
  until_floor_ = floor;
  until_ceiling_ = ceiling;
  probe_floor_ = probe_floor;
  probe_ceiling_ = probe_ceiling;
  is_auth_ = true;
  mark_.Set(turn, now);
}

void BlockBounds::LoseTrack(MonotonicTime now, Turn turn) {
  *this = BlockBounds();
  until_ceiling_ = now + kLongestReset;
  probe_ceiling_ = now + kProbeInterval;
  is_auth_ = true;
  mark_ = {0, turn, now};
}

}  // namespace simulation
