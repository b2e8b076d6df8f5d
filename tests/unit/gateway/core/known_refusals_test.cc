#include "gateway/core/known_refusals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace gateway {
namespace {

using std::chrono::milliseconds;

const common::Target kTarget{"openai", "m"};

TEST(KnownRefusalsTest, RemembersARefusalForItsTime) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  known.Learn({{kTarget, "backoff", milliseconds(500)}}, clock.Monotonic());
  clock.Advance(milliseconds(200));
  const auto remaining = known.Remaining(clock.Monotonic());
  ASSERT_EQ(remaining.size(), 1u);
  EXPECT_EQ(remaining[0].retry_after, milliseconds(300));
  EXPECT_EQ(remaining[0].reason, "backoff");
  clock.Advance(milliseconds(300));
  EXPECT_TRUE(known.Remaining(clock.Monotonic()).empty());
}

TEST(KnownRefusalsTest, AShorterRefusalDoesNotShortenALongerOne) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  known.Learn({{kTarget, "quota", milliseconds(5000)}}, clock.Monotonic());
  known.Learn({{kTarget, "backoff", milliseconds(10)}}, clock.Monotonic());
  EXPECT_EQ(known.Remaining(clock.Monotonic())[0].retry_after, milliseconds(5000));
}

TEST(KnownRefusalsTest, AnAdmissionEndsIt) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  known.Learn({{kTarget, "backoff", milliseconds(5000)}}, clock.Monotonic());
  known.Forget(kTarget);
  EXPECT_TRUE(known.Remaining(clock.Monotonic()).empty());
}

TEST(KnownRefusalsTest, AFailureWithoutATimeKeepsOffForASecond) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  Failure failure;
  failure.kind = FailureKind::kRateLimited;
  known.LearnFailure(kTarget, failure, clock.Monotonic());
  EXPECT_EQ(known.Remaining(clock.Monotonic())[0].retry_after, milliseconds(1000));
}

TEST(KnownRefusalsTest, WhatSaysNothingAboutTheTargetIsNotRemembered) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  for (const FailureKind kind :
       {FailureKind::kInvalidRequest, FailureKind::kClientCancelled, FailureKind::kModelNotFound}) {
    Failure failure;
    failure.kind = kind;
    known.LearnFailure(kTarget, failure, clock.Monotonic());
  }
  known.Learn({{kTarget, "probing", milliseconds(5000)}}, clock.Monotonic());
  EXPECT_TRUE(known.Remaining(clock.Monotonic()).empty());
}

TEST(KnownRefusalsTest, ANewCredentialEndsWhatWasRefusedToTheOldOne) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  known.Learn({{kTarget, "auth", milliseconds(500)},
               {{"openai", "other"}, "backoff", milliseconds(500)},
               {{"azure", "m"}, "auth", milliseconds(500)}},
              clock.Monotonic());
  known.ForgetCredential("openai");
  std::vector<common::Target> left;
  for (const RefusedTarget& refused : known.Remaining(clock.Monotonic())) {
    left.push_back(refused.target);
  }
  EXPECT_THAT(left, testing::UnorderedElementsAre(common::Target{"openai", "other"},
                                                  common::Target{"azure", "m"}));
}

TEST(KnownRefusalsTest, IsBoundedAndMakesRoomOfWhatIsOver) {
  candor_test::FakeClock clock;
  KnownRefusals known;
  for (size_t i = 0; i < 2 * KnownRefusals::kMaxTargets; ++i) {
    known.Learn({{{"p", std::to_string(i)}, "backoff", milliseconds(100)}}, clock.Monotonic());
  }
  EXPECT_EQ(known.Remaining(clock.Monotonic()).size(), KnownRefusals::kMaxTargets);
  clock.Advance(milliseconds(100));
  known.Learn({{kTarget, "backoff", milliseconds(100)}}, clock.Monotonic());
  EXPECT_EQ(known.Remaining(clock.Monotonic()).size(), 1u);
}

}  // namespace
}  // namespace gateway
