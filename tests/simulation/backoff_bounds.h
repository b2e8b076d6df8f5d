// What must hold for the backoff of one key, judged from outside: before `floor` nobody may be
// admitted, and from `ceiling` on nobody may be refused by it. Times are the simulation's.
#pragma once

#include "ratelimitd/core/settings.h"
#include "tests/simulation/told.h"

namespace simulation {

class BackoffBounds {
 public:
  enum class Heard : uint8_t { kYes, kNo };  // whether ratelimitd said that it applied the report

  // A 429 that is charged to this key. Returns whether ratelimitd must have said kYes.
  bool OnLimit(const ratelimitd::BackoffSettings& settings, const Told& told, int life, Heard heard,
               MonotonicTime now, Turn turn);
  void OnSuccess(const Told& told, int life, MonotonicTime now);
  // A gateway's memory of a refusal arrived; it may have been taken.
  void OnMemory(MonotonicTime until, MonotonicTime now, Turn turn);
  // After a restart: what was stored leaves between these two.
  void Restore(MonotonicTime floor, MonotonicTime ceiling, MonotonicTime now, Turn turn);

  // What came when is in doubt. A floor that may be lost is none.
  enum class Floor : uint8_t { kHolds, kMayBeLost };
  void LoseTrack(Floor floor, MonotonicTime now, Turn turn);
  // The clock of the store was set: deadlines may come earlier, or have their whole length again.
  void OnClockStep(const ratelimitd::BackoffSettings& settings, MonotonicTime now);

  MonotonicTime floor() const { return floor_; }
  MonotonicTime ceiling() const { return ceiling_; }

 private:
  MonotonicTime floor_;
  MonotonicTime ceiling_;
  Mark mark_;
};

}  // namespace simulation
