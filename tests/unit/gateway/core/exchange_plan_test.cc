#include "gateway/core/exchange_plan.h"

#include <gtest/gtest.h>

namespace gateway {
namespace {

using std::chrono::milliseconds;

const common::Target kFirst{"first", "m1"};
const common::Target kSecond{"second", "m2"};
const common::Target kThird{"third", "m3"};

AdmissionVerdict Granted(size_t index, std::vector<RefusedTarget> refused = {}) {
  AdmissionVerdict verdict;
  verdict.kind = AdmissionVerdict::Kind::kGranted;
  verdict.target_index = index;
  verdict.token = "token";
  verdict.refused = std::move(refused);
  return verdict;
}

AdmissionVerdict Refused(std::vector<RefusedTarget> refused, milliseconds retry_after) {
  AdmissionVerdict verdict;
  verdict.kind = AdmissionVerdict::Kind::kRefused;
  verdict.refused = std::move(refused);
  verdict.retry_after = retry_after;
  return verdict;
}

AdmissionVerdict Unreachable() { return {}; }

Failure Failed(FailureKind kind) {
  Failure failure;
  failure.kind = kind;
  return failure;
}

template <typename T>
T Expect(const ExchangeAction& action) {
  const T* expected = std::get_if<T>(&action);
  EXPECT_NE(expected, nullptr) << "another action came, index " << action.index();
  return expected == nullptr ? T{} : *expected;
}

TEST(ExchangePlanTest, AsksForTheWholeRouteFirst) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  const auto ask = Expect<AskAction>(plan.Start());
  EXPECT_EQ(ask.targets, (std::vector{kFirst, kSecond}));
  EXPECT_EQ(ask.mode, AskMode::kFirstAvailable);
}

TEST(ExchangePlanTest, TriesTheGrantedTargetAndRemembersTheRefusedOnes) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  const auto attempt = Expect<AttemptAction>(
      plan.OnVerdict(Granted(1, {{kFirst, "backoff", milliseconds(5000)}}), {}));
  EXPECT_EQ(attempt.route_index, 1u);
  EXPECT_EQ(attempt.token, "token");
  ASSERT_EQ(plan.attempts().size(), 1u);
  EXPECT_EQ(plan.attempts()[0].refused_reason, "backoff");
}

TEST(ExchangePlanTest, AFailureGoesToTheNextTarget) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  const auto ask =
      Expect<AskAction>(plan.OnAttemptFailed(Failed(FailureKind::kRateLimited), milliseconds(41)));
  EXPECT_EQ(ask.targets, std::vector{kSecond});
  const auto attempt = Expect<AttemptAction>(plan.OnVerdict(Granted(0), {}));
  EXPECT_EQ(attempt.route_index, 1u);
}

TEST(ExchangePlanTest, ACallersMistakeEndsTheExchangeAtOnce) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  plan.OnAttemptFailed(Failed(FailureKind::kRateLimited), milliseconds(1));
  plan.OnVerdict(Granted(0), {});
  const auto fail = Expect<FailAction>(
      plan.OnAttemptFailed(Failed(FailureKind::kContextLength), milliseconds(1)));
  EXPECT_EQ(fail.failure.kind, FailureKind::kContextLength);
}

TEST(ExchangePlanTest, TheMostHopefulFailureIsToldWithTheTimeOfTheWholeRoute) {
  struct Case {
    const char* name;
    FailureKind first;
    FailureKind second;
    FailureKind want;
  };
  const Case cases[] = {
      {"rate limit beats overload", FailureKind::kOverloaded, FailureKind::kRateLimited,
       FailureKind::kRateLimited},
      {"overload beats timeout", FailureKind::kOverloaded, FailureKind::kUpstreamTimeout,
       FailureKind::kOverloaded},
      {"timeout beats error", FailureKind::kUpstreamError, FailureKind::kUpstreamTimeout,
       FailureKind::kUpstreamTimeout},
      {"error beats unreachable", FailureKind::kUpstreamUnreachable, FailureKind::kUpstreamError,
       FailureKind::kUpstreamError},
      {"unreachable beats malformed", FailureKind::kUpstreamMalformed,
       FailureKind::kUpstreamUnreachable, FailureKind::kUpstreamUnreachable},
      {"malformed beats quota", FailureKind::kQuotaExhausted, FailureKind::kUpstreamMalformed,
       FailureKind::kUpstreamMalformed},
      {"quota beats auth", FailureKind::kProviderAuth, FailureKind::kQuotaExhausted,
       FailureKind::kQuotaExhausted},
      {"auth beats not found", FailureKind::kModelNotFound, FailureKind::kProviderAuth,
       FailureKind::kProviderAuth},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
    plan.Start();
    plan.OnVerdict(Granted(0), {});
    plan.OnAttemptFailed(Failed(c.first), milliseconds(1));
    plan.OnVerdict(Granted(0), {});
    const auto peek = Expect<AskAction>(plan.OnAttemptFailed(Failed(c.second), milliseconds(1)));
    EXPECT_EQ(peek.mode, AskMode::kPeek);
    EXPECT_EQ(peek.targets, (std::vector{kFirst, kSecond}));
    const auto fail = Expect<FailAction>(plan.OnVerdict(
        Refused({{kFirst, "breaker", milliseconds(900)}, {kSecond, "backoff", milliseconds(700)}},
                milliseconds(700)),
        {}));
    EXPECT_EQ(fail.failure.kind, c.want);
    EXPECT_EQ(fail.admitted_after, milliseconds(700));
  }
}

TEST(ExchangePlanTest, AClosedBreakerDoesNotMakeAProvidersOwnWaitVoid) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  Failure slow = Failed(FailureKind::kOverloaded);
  slow.target = kFirst;
  slow.timing.retry_after = milliseconds(9000);
  plan.OnAttemptFailed(slow, milliseconds(1));
  plan.OnVerdict(Granted(0), {});
  Failure quick = Failed(FailureKind::kOverloaded);
  quick.target = kSecond;
  quick.timing.retry_after = milliseconds(7000);
  plan.OnAttemptFailed(quick, milliseconds(1));
  const auto fail = Expect<FailAction>(plan.OnVerdict(Granted(0), {}));
  EXPECT_EQ(fail.admitted_after, milliseconds(7000));
}

TEST(ExchangePlanTest, AnAnswerThatBreaksOffIsNoSuccessInTheTrail) {
  ExchangePlan plan({kFirst}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  plan.OnAttemptAnswered(200, milliseconds(5));
  EXPECT_EQ(plan.attempts().back().failure, std::nullopt);
  plan.OnAnswerFailed(Failed(FailureKind::kUpstreamInterrupted), milliseconds(9));
  ASSERT_EQ(plan.attempts().size(), 1u);
  EXPECT_EQ(plan.attempts().back().failure, FailureKind::kUpstreamInterrupted);
  EXPECT_EQ(plan.attempts().back().upstream_status, 200);
}

TEST(ExchangePlanTest, AnAttemptedFailureOutranksARefusal) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  plan.OnAttemptFailed(Failed(FailureKind::kModelNotFound), milliseconds(1));
  Expect<AskAction>(
      plan.OnVerdict(Refused({{kSecond, "breaker", milliseconds(9)}}, milliseconds(9)), {}));
  const auto fail = Expect<FailAction>(plan.OnVerdict(Refused({}, milliseconds(3)), {}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kModelNotFound);
}

TEST(ExchangePlanTest, ARefusedRouteIsNoProviderAvailableWithTheExactTime) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  const auto fail = Expect<FailAction>(plan.OnVerdict(
      Refused({{kFirst, "breaker", milliseconds(5000)}, {kSecond, "backoff", milliseconds(1200)}},
              milliseconds(1200)),
      {}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kNoProviderAvailable);
  EXPECT_EQ(fail.admitted_after, milliseconds(1200));
  EXPECT_EQ(plan.refused().size(), 2u);
  EXPECT_EQ(plan.last_target(), nullptr);
}

TEST(ExchangePlanTest, TheCallersOwnLimitIsTheCallers) {
  ExchangePlan plan({kFirst}, OnUnreachable::kAllow);
  plan.Start();
  AdmissionVerdict verdict = Refused({}, milliseconds(300));
  verdict.is_client_limit = true;
  const auto fail = Expect<FailAction>(plan.OnVerdict(verdict, {}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kClientRateLimited);
  EXPECT_EQ(fail.admitted_after, milliseconds(300));
}

TEST(ExchangePlanTest, WithoutRatelimitdTheFirstTargetNotKnownToRefuseIsTried) {
  ExchangePlan plan({kFirst, kSecond, kThird}, OnUnreachable::kAllow);
  plan.Start();
  const auto attempt = Expect<AttemptAction>(
      plan.OnVerdict(Unreachable(), {{kFirst, "backoff", milliseconds(900)}}));
  EXPECT_EQ(attempt.route_index, 1u);
  EXPECT_EQ(attempt.token, "");
  EXPECT_TRUE(plan.is_degraded());
}

TEST(ExchangePlanTest, WithoutRatelimitdFallbackStillRuns) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Unreachable(), {});
  Expect<AskAction>(plan.OnAttemptFailed(Failed(FailureKind::kUpstreamError), milliseconds(1)));
  const auto attempt = Expect<AttemptAction>(plan.OnVerdict(Unreachable(), {}));
  EXPECT_EQ(attempt.route_index, 1u);
  Expect<AskAction>(plan.OnAttemptFailed(Failed(FailureKind::kUpstreamError), milliseconds(1)));
  const auto fail = Expect<FailAction>(plan.OnVerdict(Unreachable(), {}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kUpstreamError);
  EXPECT_EQ(fail.admitted_after, std::nullopt);
}

TEST(ExchangePlanTest, WithoutRatelimitdARouteKnownToRefuseIsRefused) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  const auto fail =
      Expect<FailAction>(plan.OnVerdict(Unreachable(), {{kFirst, "backoff", milliseconds(900)},
                                                        {kSecond, "quota", milliseconds(300)}}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kNoProviderAvailable);
  EXPECT_EQ(fail.admitted_after, milliseconds(300));
}

TEST(ExchangePlanTest, DenyRefusesWhileRatelimitdIsAway) {
  ExchangePlan plan({kFirst}, OnUnreachable::kDeny);
  plan.Start();
  const auto fail = Expect<FailAction>(plan.OnVerdict(Unreachable(), {}));
  EXPECT_EQ(fail.failure.kind, FailureKind::kNoProviderAvailable);
}

TEST(ExchangePlanTest, WhenTheClientsTimeIsUpNoOtherTargetIsAskedFor) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  plan.OnVerdict(Granted(0), {});
  const auto fail = Expect<FailAction>(
      plan.OnAttemptFailed(Failed(FailureKind::kDeadlineExceeded), milliseconds(300)));
  EXPECT_EQ(fail.failure.kind, FailureKind::kDeadlineExceeded);
  ASSERT_EQ(plan.attempts().size(), 1u);
  EXPECT_EQ(plan.attempts()[0].failure, FailureKind::kDeadlineExceeded);
}

TEST(ExchangePlanTest, AProvidersFailureOutranksThatTheClientsTimeIsUp) {
  for (const FailureKind kind : {FailureKind::kRateLimited, FailureKind::kModelNotFound}) {
    SCOPED_TRACE(RuleFor(kind).name);
    ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
    plan.Start();
    plan.OnVerdict(Granted(0), {});
    plan.OnAttemptFailed(Failed(kind), milliseconds(1));
    plan.OnVerdict(Granted(0), {});
    const auto fail = Expect<FailAction>(
        plan.OnAttemptFailed(Failed(FailureKind::kDeadlineExceeded), milliseconds(300)));
    EXPECT_EQ(fail.failure.kind, kind);
  }
}

TEST(ExchangePlanTest, BetweenTwoAttemptsTheClientIsToldOfTheFirst) {
  ExchangePlan plan({kFirst, kSecond}, OnUnreachable::kAllow);
  plan.Start();
  EXPECT_EQ(plan.OnDeadline().failure.kind, FailureKind::kDeadlineExceeded);

  ExchangePlan later({kFirst, kSecond}, OnUnreachable::kAllow);
  later.Start();
  later.OnVerdict(Granted(0), {});
  later.OnAttemptFailed(Failed(FailureKind::kOverloaded), milliseconds(1));
  EXPECT_EQ(later.OnDeadline().failure.kind, FailureKind::kOverloaded);
}

}  // namespace
}  // namespace gateway
