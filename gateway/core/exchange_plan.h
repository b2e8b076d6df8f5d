// One request's state machine: events in, the next Action out. Decides which target is asked, when
// a failure may be answered by another target, and which of several failures the client is told. It
// does no I/O; io/exchange carries the Actions out. Not thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "gateway/core/admission.h"
#include "gateway/core/outcome.h"

namespace gateway {

enum class OnUnreachable : uint8_t { kAllow, kDeny };

// Ask ratelimitd about these targets.
struct AskAction {
  std::vector<common::Target> targets;
  AskMode mode = AskMode::kFirstAvailable;
  // An attempt was granted before: the client's limits have counted this request.
  bool is_continuation = false;
};

// Try this target; its outcome comes back as AttemptFailed, or the exchange is over.
struct AttemptAction {
  size_t route_index = 0;  // into the route's targets
  std::string token;       // empty: nobody could be asked
};

// Tell the client. The failure is the most hopeful of all.
struct FailAction {
  Failure failure;
  // When the next attempt would be admitted; nothing when ratelimitd could not say.
  std::optional<std::chrono::milliseconds> admitted_after;
};

using ExchangeAction = std::variant<AskAction, AttemptAction, FailAction>;

class ExchangePlan {
 public:
  // `route` is in order of preference and not empty.
  ExchangePlan(std::vector<common::Target> route, OnUnreachable on_unreachable);

  // The first action.
  ExchangeAction Start();
  // Answer to the last AskAction. `locally_refused` are what this gateway itself remembers of
  // earlier refusals; they count only when nobody could be asked.
  ExchangeAction OnVerdict(AdmissionVerdict verdict,
                           const std::vector<RefusedTarget>& locally_refused);
  // The attempt of the last AttemptAction failed before anything went to the client.
  ExchangeAction OnAttemptFailed(Failure failure, std::chrono::milliseconds duration);
  // The client's time is up, and no attempt is under way.
  FailAction OnDeadline();
  // The attempt has answered; only the trail is of interest from now on.
  void OnAttemptAnswered(int upstream_status, std::chrono::milliseconds duration);
  // The answer broke off after it had begun.
  void OnAnswerFailed(const Failure& failure, std::chrono::milliseconds duration);

  const std::vector<common::Target>& route() const { return route_; }
  const std::vector<AttemptRecord>& attempts() const { return attempts_; }
  const std::vector<RefusedTarget>& refused() const { return refused_; }
  // Whether ratelimitd could not be asked at some point.
  bool is_degraded() const { return !degraded_.empty(); }
  // What was away, in the words of x-candor-degraded; empty: nothing.
  std::string_view degraded() const { return degraded_; }
  // The target tried last; nothing when no provider was asked.
  const common::Target* last_target() const;

 private:
  enum class TargetState : uint8_t { kUntried, kRefused, kTried };

  AskAction AskUntried();
  ExchangeAction OnGrant(AdmissionVerdict verdict);
  ExchangeAction OnRefusal(const AdmissionVerdict& verdict);
  ExchangeAction OnNobodyAsked(const std::vector<RefusedTarget>& locally_refused);
  ExchangeAction Conclude();
  std::chrono::milliseconds EarliestAdmission(const AdmissionVerdict& verdict) const;
  void NoteRefused(const RefusedTarget& refused);
  bool HasUntried() const;

  std::vector<common::Target> route_;
  std::vector<TargetState> states_;
  std::vector<size_t> asked_;  // route indexes of the last AskAction
  OnUnreachable on_unreachable_;
  bool is_peeking_ = false;
  std::string_view degraded_;
  size_t current_ = 0;
  std::vector<Failure> failures_;
  std::vector<AttemptRecord> attempts_;
  std::vector<RefusedTarget> refused_;
};

}  // namespace gateway
