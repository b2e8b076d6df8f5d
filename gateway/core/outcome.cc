#include "gateway/core/outcome.h"

#include <utility>

namespace gateway {

Failure MakeFailure(FailureKind kind, std::string message) {
  Failure failure;
  failure.kind = kind;
  failure.message = std::move(message);
  return failure;
}

Failure MakeOverloaded(std::string message, double chance) {
  constexpr std::chrono::milliseconds kShortestWait{1000};
  constexpr double kSpreadMs = 1000;
  Failure failure = MakeFailure(FailureKind::kGatewayOverloaded, std::move(message));
  failure.timing.retry_after =
      kShortestWait + std::chrono::milliseconds(static_cast<int64_t>(chance * kSpreadMs));
  return failure;
}

bool IsRetryable(const Failure& failure) {
  return RuleFor(failure.kind).is_retryable && !failure.is_permanent;
}

Charge ChargeFor(const Failure& failure) {
  if (failure.kind == FailureKind::kRateLimited && failure.is_permanent) {
    return Charge::kCallerError;
  }
  return RuleFor(failure.kind).charge;
}

Charge ChargeWithoutModel(const Failure& failure) {
  const Charge charge = ChargeFor(failure);
  const bool is_account = charge == Charge::kQuotaExhausted && failure.upstream_status != 429;
  const bool holds_for_provider =
      charge == Charge::kUnreachable || charge == Charge::kAuthFailed || is_account;
  return holds_for_provider ? charge : Charge::kNotSent;
}

int ClientStatus(const Failure& failure) {
  const bool wire_says_success = failure.upstream_status < 300;
  return ClientStatus(failure.kind,
                      wire_says_success ? failure.meant_status : failure.upstream_status);
}

}  // namespace gateway
