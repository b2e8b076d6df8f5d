// What is known outside of ratelimitd about grants and reports: who was admitted when, and what the
// gateway that wrote a report knows about its attempt. Plain values.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "common/target.h"
#include "ratelimitd/core/attempt.h"

namespace simulation {

using common::MonotonicTime;
using ratelimitd::OutcomeKind;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;

// Counts what ratelimitd has handled, over all its lives: the true order of events.
using Turn = uint64_t;

struct Grant {
  int life = 0;  // of ratelimitd, counted from 1
  Turn turn = 0;
  MonotonicTime at;
  common::Target target;
  bool is_probe = false;
  bool is_order_unsure = false;  // others did something between the decision and `turn`
  int process = 0;               // that gave it
};

struct Told {
  std::string reporter;
  std::string host;
  OutcomeKind kind = OutcomeKind::kSuccess;
  common::Target target;
  std::optional<milliseconds> figure;
  ratelimitd::LimitScope scope = ratelimitd::LimitScope::kTarget;
  MonotonicTime happened_at{};
  // ratelimitd may have forgotten the target meanwhile, for want of room, or what the order of
  // events was.
  bool may_be_forgotten = false;
  // Shared with the attempt; null: it was made without asking.
  std::shared_ptr<const Grant> grant{};
};

// When a fact was last set, as far as can be told from outside: not before `first`, not after
// `last`; 0: never in this life.
struct Mark {
  Turn first = 0;
  Turn last = 0;
  MonotonicTime at;

  void Set(Turn turn, MonotonicTime now) { *this = {turn, turn, now}; }
  void MaybeSet(Turn turn, MonotonicTime now) {
    last = turn;
    at = now;
  }
};

enum class Era : uint8_t { kBefore, kAfter, kUnsure };

// Whether the attempt was admitted (without asking: ended) before or after the fact was set. A
// token from another life is older than anything that was set in this one.
inline Era EraOf(const Told& told, int life, const Mark& mark) {
  constexpr milliseconds kRounding{2};
  if (told.may_be_forgotten) return Era::kUnsure;
  if (mark.last == 0) return Era::kAfter;
  if (told.grant != nullptr) {
    if (told.grant->is_order_unsure) return Era::kUnsure;
    if (told.grant->life != life) return mark.first > 0 ? Era::kBefore : Era::kUnsure;
    if (told.grant->turn > mark.last) return Era::kAfter;
    return told.grant->turn < mark.first ? Era::kBefore : Era::kUnsure;
  }
  if (mark.first != mark.last) return Era::kUnsure;
  if (told.happened_at < mark.at - kRounding) return Era::kBefore;
  return told.happened_at > mark.at + kRounding ? Era::kAfter : Era::kUnsure;
}

}  // namespace simulation
