#include "tests/simulation/ruling_watch.h"

#include <algorithm>

#include "common/concat.h"

namespace simulation {
namespace {

using namespace std::chrono_literals;
using ratelimitd::Decision;
using ratelimitd::OverrideMode;
using ratelimitd::RefusalReason;

// What comes closer together may be taken for either order.
constexpr milliseconds kSameMoment = 20ms;
// What is told again may end a little later.
constexpr milliseconds kToldAgain = 2s;

bool Covers(RulingWatch::Reach reach, RulingWatch::Fact fact) {
  return reach == RulingWatch::Reach::kProvider || fact == RulingWatch::Fact::kOfTarget;
}

}  // namespace

template <typename Do>
void RulingWatch::EachClaim(Do act) {
  for (Word& word : words_) act(word);
  for (Reset& reset : resets_) act(reset);
  for (Limit& limit : limits_) act(limit);
}

RulingWatch::Claim RulingWatch::MakeClaim(Where where, MonotonicTime now) {
  return {.at = now,
          .giver = where.process,
          .is_stored = where.footing == Footing::kShared,
          .stored_at = now,
          .longest = 0ms,
          .floor = {},
          .ceiling = {}};
}

bool RulingWatch::MustKnow(Where where, const Claim& claim) {
  return claim.giver == where.process || (claim.is_stored && where.footing == Footing::kShared);
}

void RulingWatch::OnOverride(Where where, OverrideMode mode, milliseconds length,
                             MonotonicTime now) {
  Word& word = words_.emplace_back(Word{MakeClaim(where, now), mode});
  word.longest = length;
  word.floor = word.ceiling = now + length;
}

void RulingWatch::OnReset(Where where, Reach reach, MonotonicTime now) {
  resets_.push_back(Reset{MakeClaim(where, now), reach});
}

void RulingWatch::OnLimit(Where where, Fact fact, milliseconds shortest, milliseconds longest,
                          MonotonicTime now) {
  Limit limit{MakeClaim(where, now), fact};
  limit.longest = longest;
  limit.ceiling = now + longest;
  // One that ends before another does need not have been noted.
  const bool is_longest = std::all_of(limits_.begin(), limits_.end(), [&](const Limit& other) {
    return other.fact != fact || other.ceiling + kSameMoment < now + shortest;
  });
  if (is_longest) limit.floor = now + shortest;
  limits_.push_back(limit);
}

void RulingWatch::OnProcessEnded(int process) {
  EachClaim([process](Claim& claim) {
    if (claim.giver == process) claim.giver = 0;
  });
}

void RulingWatch::OnCertainty(MonotonicTime now) {
  EachClaim([now](Claim& claim) {
    if (!claim.is_stored && claim.giver != 0) {
      claim.is_stored = true;
      claim.stored_at = now;
    }
    claim.ceiling += kToldAgain;
  });
}

void RulingWatch::OnLoss(MonotonicTime since) {
  EachClaim([since](Claim& claim) {
    if (claim.stored_at >= since) claim.is_stored = false;
  });
}

void RulingWatch::OnClockStep(MonotonicTime now) {
  EachClaim([now](Claim& claim) {
    claim.floor = MonotonicTime();
    if (claim.ceiling > now) claim.ceiling = now + claim.longest + kToldAgain;
  });
}

void RulingWatch::OnRestart(MonotonicTime now) {
  EachClaim([now](Claim& claim) {
    claim.giver = 0;
    claim.is_stored = false;
    claim.floor = MonotonicTime();
    claim.ceiling = now + claim.longest + kToldAgain;
  });
}

void RulingWatch::ExpectModes(Where where, MonotonicTime now, Expected& expected) const {
  MonotonicTime last_known;
  for (const Word& word : words_) {
    if (MustKnow(where, word)) last_known = word.at;
  }
  if (last_known == MonotonicTime()) expected.modes[0] = true;
  for (const Word& word : words_) {
    if (word.at + kSameMoment < last_known) continue;
    if (word.ceiling + kSameMoment > now) expected.modes[static_cast<size_t>(word.mode)] = true;
    if (word.floor < now + kSameMoment) expected.modes[0] = true;
  }
}

void RulingWatch::ExpectFacts(Where where, MonotonicTime now, Expected& expected) const {
  bool must_refuse = false;
  for (const Limit& limit : limits_) {
    if (limit.ceiling + kSameMoment < now) continue;
    bool may_be_reset = false, must_be_reset = false;
    for (const Reset& reset : resets_) {
      if (!Covers(reset.reach, limit.fact)) continue;
      may_be_reset |= reset.at + kSameMoment >= limit.at;
      must_be_reset |= reset.at > limit.at + kSameMoment && MustKnow(where, reset);
    }
    if (!must_be_reset) expected.may_refuse = true;
    must_refuse |= MustKnow(where, limit) && limit.floor > now + kSameMoment && !may_be_reset;
  }
  expected.may_admit = !must_refuse;
}

RulingWatch::Expected RulingWatch::Expect(Where where, MonotonicTime now) const {
  Expected expected;
  ExpectModes(where, now, expected);
  ExpectFacts(where, now, expected);
  return expected;
}

std::optional<Finding> RulingWatch::OnAnswer(Where where,
                                             const ratelimitd::TargetDecision& decision,
                                             MonotonicTime now) const {
  const Expected expected = Expect(where, now);
  const auto may_be = [&](OverrideMode mode) { return expected.modes[static_cast<size_t>(mode)]; };
  const bool may_pass_by_word =
      may_be(OverrideMode::kForcedClosed) || may_be(OverrideMode::kObserveOnly);
  const bool may_be_none = may_be(OverrideMode::kNone);
  const bool is_refused = decision.decision == Decision::kReject;
  if (is_refused && decision.reason == RefusalReason::kDrained) {
    if (may_be(OverrideMode::kForcedOpen)) return std::nullopt;
    return Finding{"O2", "taken out by an override that must be over"};
  }
  if (is_refused) {
    if (!may_be_none) {
      return Finding{"O1", common::Concat("refused for ", ReasonName(decision.reason),
                                          " against an override in force")};
    }
    if (expected.may_refuse) return std::nullopt;
    return Finding{"O3", common::Concat("refused for ", ReasonName(decision.reason),
                                        " that was reset or is over")};
  }
  if (decision.overruled != RefusalReason::kNone) {
    if (may_pass_by_word && expected.may_refuse) return std::nullopt;
    return Finding{"O2", "let pass by an override that must be over"};
  }
  if (expected.may_admit && (may_be_none || may_pass_by_word)) return std::nullopt;
  return Finding{"O1", expected.may_admit ? "admitted against an override in force"
                                          : "admitted against a limit that nobody has reset"};
}

}  // namespace simulation
