#include "ratelimitd/core/block.h"

#include <gtest/gtest.h>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

class BlockTest : public testing::Test {
 protected:
  bool Set(OutcomeKind kind, std::optional<milliseconds> reset = {}) {
    const Evidence evidence{.kind = kind, .happened_at = now_, .order = order_};
    return block_.Set(settings_, evidence, reset, {now_, 0}, ++order_);
  }
  // Lends the probe and reports it.
  void Probe(OutcomeKind kind, std::optional<milliseconds> reset = {}) {
    ASSERT_EQ(block_.Look(now_).decision, Decision::kAdmitProbe);
    block_.Admit({++order_, 1, now_, now_ + 30s});
    const Order probe = order_;
    block_.FreeProbe(probe, kind, now_);
    const Evidence evidence{.kind = kind, .happened_at = now_, .order = probe};
    if (kind == OutcomeKind::kSuccess) {
      block_.ClearBy(evidence, order_, now_);
    } else if (kind == OutcomeKind::kQuotaExhausted || kind == OutcomeKind::kAuthFailed) {
      block_.Set(settings_, evidence, reset, {now_, 0}, ++order_);
    }
  }

  BlockSettings settings_;
  Block block_;
  MonotonicTime now_{1h};
  Order order_ = 1;
};

TEST_F(BlockTest, LengthsFollowTheContract) {
  struct {
    const char* name;
    OutcomeKind kind;
    std::optional<milliseconds> reset;
    milliseconds want;
  } cases[] = {{"quota, stated reset", OutcomeKind::kQuotaExhausted, 30min, 30min},
               {"quota, none", OutcomeKind::kQuotaExhausted, {}, 15min},
               {"quota, absurd", OutcomeKind::kQuotaExhausted, 24h * 36, 15min},
               {"quota, negative", OutcomeKind::kQuotaExhausted, -1s, 15min},
               {"quota, the longest", OutcomeKind::kQuotaExhausted, 24h * 35, 24h * 35},
               {"auth", OutcomeKind::kAuthFailed, {}, 1h}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    block_ = Block();
    EXPECT_TRUE(Set(c.kind, c.reset));
    EXPECT_EQ(block_.until() - now_, c.want);
  }
}

TEST_F(BlockTest, QuotaEscalatesByFourWhenProbesFail) {
  Set(OutcomeKind::kQuotaExhausted);
  for (const milliseconds want :
       std::initializer_list<milliseconds>{15min, 60min, 240min, 960min, 1440min, 1440min}) {
    EXPECT_EQ(block_.until() - now_, want);
    now_ = block_.until();
    Probe(OutcomeKind::kQuotaExhausted);
  }
}

TEST_F(BlockTest, BurstCountsOnce) {
  const Order burst = order_;
  Set(OutcomeKind::kQuotaExhausted);
  for (int i = 0; i < 20; ++i) {
    const Evidence late{.kind = OutcomeKind::kQuotaExhausted, .happened_at = now_, .order = burst};
    EXPECT_FALSE(block_.Set(settings_, late, {}, {now_, 0}, ++order_));
  }
  EXPECT_EQ(block_.until() - now_, 15min);
}

TEST_F(BlockTest, AttemptsMadeWithoutAskingDoNotEscalate) {
  Set(OutcomeKind::kQuotaExhausted);
  for (int i = 0; i < 5; ++i) {
    now_ += 1s;
    const Evidence unasked{.kind = OutcomeKind::kQuotaExhausted, .happened_at = now_};
    EXPECT_FALSE(block_.Set(settings_, unasked, {}, {now_, 0}, ++order_));
  }
  EXPECT_EQ(block_.until() - now_, 15min - 5s);
  const Evidence stated{.kind = OutcomeKind::kQuotaExhausted, .happened_at = now_};
  EXPECT_TRUE(block_.Set(settings_, stated, 2h, {now_, 0}, ++order_));
}

// After a restart the gateways' memories come first, and then the reports that waited.
TEST_F(BlockTest, ReportBeatsAGatewaysShorterMemory) {
  block_.RaiseTo(Block::Kind::kAuth, now_ + 1s, now_, {"A gateway remembers.", "gw"}, 5);
  const Evidence waited{.kind = OutcomeKind::kAuthFailed, .happened_at = now_ - 2s, .order = 0};
  EXPECT_TRUE(block_.Set(settings_, waited, {}, {now_, 0}, 6));
  EXPECT_EQ(block_.until() - now_, 1h - 2s);
  EXPECT_FALSE(block_.Set(settings_, waited, {}, {now_, 0}, 7)) << "a burst counts once";
}

TEST_F(BlockTest, LongBlockLetsOneProbeAnHourThrough) {
  Set(OutcomeKind::kQuotaExhausted, 24h);
  EXPECT_EQ(block_.Look(now_).reason, RefusalReason::kQuotaExhausted);
  EXPECT_EQ(block_.Look(now_).until - now_, 1h);
  now_ += 1h;
  Probe(OutcomeKind::kQuotaExhausted, 23h);
  EXPECT_EQ(block_.Look(now_).decision, Decision::kReject);
  now_ += 1h;
  Probe(OutcomeKind::kSuccess);
  EXPECT_EQ(block_.Look(now_).decision, Decision::kAdmit);
}

TEST_F(BlockTest, AProbeThatWasNotSentCostsNoHour) {
  Set(OutcomeKind::kQuotaExhausted, 24h);
  now_ += 1h;
  Probe(OutcomeKind::kCancelled);
  EXPECT_EQ(block_.Look(now_).decision, Decision::kReject);
  now_ += 1h;
  Probe(OutcomeKind::kNotSent);
  EXPECT_EQ(block_.Look(now_).decision, Decision::kAdmitProbe);
}

TEST_F(BlockTest, AfterItsTimeOneProbeAtATime) {
  Set(OutcomeKind::kAuthFailed);
  now_ += 1h;
  ASSERT_EQ(block_.Look(now_).decision, Decision::kAdmitProbe);
  block_.Admit({++order_, 1, now_, now_ + 30s});
  EXPECT_EQ(block_.Look(now_).reason, RefusalReason::kAuthFailed);
  now_ += 30s;
  block_.GiveUpLostProbe(now_);
  EXPECT_EQ(block_.Look(now_).decision, Decision::kAdmitProbe);
}

TEST_F(BlockTest, WhatAnotherReplicaTellsAgainKeepsItsCountAndItsHour) {
  for (int i = 0; i < 3; ++i) {
    Set(OutcomeKind::kQuotaExhausted);
    now_ = block_.until();
  }
  Set(OutcomeKind::kQuotaExhausted);
  now_ += 20min;
  const Block::Record record = block_.ToRecord(now_);
  Block other;
  EXPECT_TRUE(other.Reassert(record, now_, {"why", "gw"}, ++order_));
  EXPECT_EQ(other.until(), block_.until());
  EXPECT_EQ(other.Look(now_).until, block_.Look(now_).until);
  EXPECT_EQ(other.ToRecord(now_).count, 4);
  EXPECT_EQ(other.stamp().at, block_.stamp().at);
  EXPECT_FALSE(other.Reassert(record, now_, {"why", "gw"}, ++order_));
}

TEST_F(BlockTest, ChangedCredentialLiftsOnlyAnAuthBlock) {
  Set(OutcomeKind::kQuotaExhausted);
  EXPECT_FALSE(block_.ClearByCredential(order_, now_));
  block_ = Block();
  Set(OutcomeKind::kAuthFailed);
  EXPECT_TRUE(block_.ClearByCredential(order_, now_));
  EXPECT_FALSE(block_.IsSet());
}

TEST_F(BlockTest, LateSuccessFromBeforeDoesNotLift) {
  const Order before = order_;
  Set(OutcomeKind::kAuthFailed);
  EXPECT_FALSE(block_.ClearBy({.kind = OutcomeKind::kSuccess, .order = before}, order_, now_));
  EXPECT_TRUE(block_.IsSet());
}

}  // namespace
}  // namespace ratelimitd
