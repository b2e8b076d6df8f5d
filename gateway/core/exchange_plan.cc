#include "gateway/core/exchange_plan.h"

#include <algorithm>
#include <utility>

#include "gateway/core/request_deadline.h"

namespace gateway {
namespace {

Failure NoProvider(std::string message) {
  return MakeFailure(FailureKind::kNoProviderAvailable, std::move(message));
}

// The earlier one wins a tie: it is the preferred target's.
const Failure& MostHopeful(const std::vector<Failure>& failures) {
  return *std::max_element(failures.begin(), failures.end(),
                           [](const Failure& a, const Failure& b) {
                             return RuleFor(a.kind).hope < RuleFor(b.kind).hope;
                           });
}

const RefusedTarget* FindRefused(const std::vector<RefusedTarget>& refused,
                                 const common::Target& target) {
  const auto found =
      std::find_if(refused.begin(), refused.end(),
                   [&](const RefusedTarget& candidate) { return candidate.target == target; });
  return found == refused.end() ? nullptr : &*found;
}

bool HoldsForEveryTarget(FailureKind kind) { return RuleFor(kind).fallback == Fallback::kNo; }

constexpr std::string_view kRatelimitdUnreachable = "ratelimitd_unreachable";
constexpr std::string_view kStoreUnreachable = "store_unreachable";

}  // namespace

ExchangePlan::ExchangePlan(std::vector<common::Target> route, OnUnreachable on_unreachable)
    : route_(std::move(route)),
      states_(route_.size(), TargetState::kUntried),
      on_unreachable_(on_unreachable) {}

ExchangeAction ExchangePlan::Start() { return AskUntried(); }

ExchangeAction ExchangePlan::OnVerdict(AdmissionVerdict verdict,
                                       const std::vector<RefusedTarget>& locally_refused) {
  if (verdict.is_degraded && degraded_.empty()) degraded_ = kStoreUnreachable;
  if (verdict.kind == AdmissionVerdict::Kind::kUnreachable) {
    degraded_ = kRatelimitdUnreachable;
    return OnNobodyAsked(locally_refused);
  }
  if (is_peeking_) return FailAction{MostHopeful(failures_), EarliestAdmission(verdict)};
  return verdict.kind == AdmissionVerdict::Kind::kGranted ? OnGrant(std::move(verdict))
                                                          : OnRefusal(verdict);
}

ExchangeAction ExchangePlan::OnAttemptFailed(Failure failure, std::chrono::milliseconds duration) {
  attempts_.push_back({route_[current_], failure.kind, "", failure.upstream_status, duration});
  states_[current_] = TargetState::kTried;
  if (failure.kind == FailureKind::kDeadlineExceeded) {
    failures_.push_back(std::move(failure));
    return OnDeadline();
  }
  const bool is_final = HoldsForEveryTarget(failure.kind);
  if (is_final) failures_.clear();
  failures_.push_back(std::move(failure));
  if (is_final) return FailAction{failures_.back(), std::nullopt};
  if (HasUntried()) return AskUntried();
  return Conclude();
}

// At once: nobody is asked any more when the next attempt would be admitted.
FailAction ExchangePlan::OnDeadline() {
  if (failures_.empty()) failures_.push_back(DeadlineExceeded());
  return FailAction{MostHopeful(failures_), std::nullopt};
}

void ExchangePlan::OnAttemptAnswered(int upstream_status, std::chrono::milliseconds duration) {
  attempts_.push_back({route_[current_], std::nullopt, "", upstream_status, duration});
}

void ExchangePlan::OnAnswerFailed(const Failure& failure, std::chrono::milliseconds duration) {
  attempts_.back().failure = failure.kind;
  attempts_.back().duration = duration;
}

const common::Target* ExchangePlan::last_target() const {
  for (auto attempt = attempts_.rbegin(); attempt != attempts_.rend(); ++attempt) {
    if (attempt->refused_reason.empty()) return &attempt->target;
  }
  return nullptr;
}

AskAction ExchangePlan::AskUntried() {
  AskAction ask;
  ask.is_continuation = !failures_.empty();
  asked_.clear();
  for (size_t i = 0; i < route_.size(); ++i) {
    if (states_[i] != TargetState::kUntried) continue;
    asked_.push_back(i);
    ask.targets.push_back(route_[i]);
  }
  return ask;
}

ExchangeAction ExchangePlan::OnGrant(AdmissionVerdict verdict) {
  if (verdict.target_index >= asked_.size()) return OnNobodyAsked({});
  for (const RefusedTarget& refused : verdict.refused) NoteRefused(refused);
  current_ = asked_[verdict.target_index];
  return AttemptAction{current_, std::move(verdict.token)};
}

ExchangeAction ExchangePlan::OnRefusal(const AdmissionVerdict& verdict) {
  if (verdict.is_client_limit) {
    return FailAction{MakeFailure(FailureKind::kClientRateLimited,
                                  "You have reached your own rate limit at this gateway."),
                      verdict.retry_after};
  }
  for (const RefusedTarget& refused : verdict.refused) NoteRefused(refused);
  if (!failures_.empty()) return Conclude();
  return FailAction{NoProvider("No provider of this model can be asked right now."),
                    verdict.retry_after};
}

ExchangeAction ExchangePlan::OnNobodyAsked(const std::vector<RefusedTarget>& locally_refused) {
  if (is_peeking_) return FailAction{MostHopeful(failures_), std::nullopt};
  if (on_unreachable_ == OnUnreachable::kDeny) {
    if (!failures_.empty()) return FailAction{MostHopeful(failures_), std::nullopt};
    return FailAction{
        NoProvider("The gateway cannot ask which provider is available, and is configured to "
                   "refuse in that case."),
        std::nullopt};
  }
  std::optional<std::chrono::milliseconds> earliest;
  for (const size_t index : asked_) {
    const RefusedTarget* refused = FindRefused(locally_refused, route_[index]);
    if (refused == nullptr) {
      current_ = index;
      return AttemptAction{index, ""};
    }
    NoteRefused(*refused);
    earliest = std::min(earliest.value_or(refused->retry_after), refused->retry_after);
  }
  if (!failures_.empty()) return FailAction{MostHopeful(failures_), earliest};
  return FailAction{NoProvider("No provider of this model can be asked right now."), earliest};
}

// The earliest moment at which a target of the route would be admitted and has not itself asked for
// more time: a breaker that is still closed does not make a provider's Retry-After void.
std::chrono::milliseconds ExchangePlan::EarliestAdmission(const AdmissionVerdict& verdict) const {
  std::optional<std::chrono::milliseconds> earliest;
  for (const common::Target& target : route_) {
    const RefusedTarget* refused = FindRefused(verdict.refused, target);
    auto wait = refused == nullptr ? std::chrono::milliseconds(0) : refused->retry_after;
    for (const Failure& failure : failures_) {
      if (failure.target == target)
        wait = std::max(wait, failure.timing.retry_after.value_or(wait));
    }
    earliest = std::min(earliest.value_or(wait), wait);
  }
  return earliest.value_or(std::chrono::milliseconds(0));
}

ExchangeAction ExchangePlan::Conclude() {
  is_peeking_ = true;
  return AskAction{route_, AskMode::kPeek};
}

void ExchangePlan::NoteRefused(const RefusedTarget& refused) {
  for (size_t i = 0; i < route_.size(); ++i) {
    if (states_[i] != TargetState::kUntried || route_[i] != refused.target) continue;
    states_[i] = TargetState::kRefused;
    refused_.push_back(refused);
    attempts_.push_back(
        {refused.target, std::nullopt, refused.reason, 0, std::chrono::milliseconds(0)});
    return;
  }
}

bool ExchangePlan::HasUntried() const {
  return std::find(states_.begin(), states_.end(), TargetState::kUntried) != states_.end();
}

}  // namespace gateway
