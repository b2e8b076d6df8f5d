// What must hold for the block of one provider, judged from outside. Whether it is blocked is told
// by ratelimitd; since when, how long at least and at most, and who may end it is known here.
#pragma once

#include <optional>

#include "ratelimitd/core/settings.h"
#include "tests/simulation/told.h"

namespace simulation {

class BlockBounds {
 public:
  enum class Blocked : uint8_t { kYes, kNo };

  // QUOTA_EXHAUSTED or AUTH_FAILED arrived and left the provider blocked.
  void OnSet(const ratelimitd::BlockSettings& settings, const Told& told, int life, Blocked before,
             MonotonicTime now, Turn turn);
  // A gateway's memory of a refusal arrived and left the provider blocked.
  void OnMemory(MonotonicTime until, Blocked before, MonotonicTime now, Turn turn);
  void OnProbe(MonotonicTime now);
  // Nothing has asked the provider: the next one may come at once.
  void OnProbeNotSent(MonotonicTime now) { probe_floor_ = probe_ceiling_ = now; }
  // Whether this report may have ended it.
  bool IsProof(const Told& told, int life) const;
  void Restore(MonotonicTime floor, MonotonicTime ceiling, MonotonicTime probe_floor,
               MonotonicTime probe_ceiling, MonotonicTime now, Turn turn);
  void Clear() { *this = BlockBounds(); }
  // Nothing is known of it but that it is there, and lends a probe each hour.
  void LoseTrack(MonotonicTime now, Turn turn);

  // Nobody, no probe either, is admitted before.
  MonotonicTime floor() const { return std::min(until_floor_, probe_floor_); }
  // From then on a probe is lent unless one is out.
  MonotonicTime ceiling() const { return std::min(until_ceiling_, probe_ceiling_); }
  bool is_auth() const { return is_auth_; }

 private:
  MonotonicTime until_floor_, until_ceiling_;
  MonotonicTime probe_floor_, probe_ceiling_;  // of the hourly probe
  bool is_auth_ = false;                       // it may be for the credential
  Mark mark_;
};

}  // namespace simulation
