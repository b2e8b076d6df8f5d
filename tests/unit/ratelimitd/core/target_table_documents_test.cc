// The state as bytes: what one table writes another one reads, and nothing else is believed.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/ratelimitd/core/fleet.h"

namespace {

using namespace ratelimitd;
using namespace std::chrono_literals;
using candor_test::Fleet;
using std::chrono::microseconds;

const DocumentKey kOpenAi{DocumentKind::kProvider, "openai"};
const FieldName kProvider{kOpenAi, "p"};
const FieldName kModel{kOpenAi, "t:gpt"};

TableSettings LimitedSettings() {
  TableSettings settings;
  settings.defaults.limits = {
      .requests_per_minute = 1000, .tokens_per_minute = 100'000, .concurrent = 50};
  return settings;
}

// A fleet in which much has happened, by chance.
std::unique_ptr<Fleet> MakeEventful(unsigned seed) {
  auto fleet = std::make_unique<Fleet>(LimitedSettings());
  fleet->table.BeginSharing(seed);
  std::mt19937 random(seed);
  std::vector<Verdict> grants;
  for (int i = 0; i < 200; ++i) {
    fleet->chance = static_cast<double>(random() % 1000) / 1000;
    const std::string reporter = "gw" + std::to_string(random() % 3);
    const Verdict verdict = fleet->Ask(reporter);
    if (verdict.granted_index == 0) grants.push_back(verdict);
    if (!grants.empty() && random() % 4 != 0) {
      const auto kind = static_cast<OutcomeKind>(1 + random() % (kOutcomeKinds - 1));
      fleet->Report(grants.back(), kind, reporter);
      grants.pop_back();
    }
    fleet->Wait(milliseconds(random() % 900));
  }
  return fleet;
}

void Copy(const TargetTable& from, TargetTable& to, MonotonicTime now) {
  for (const FieldName& name : from.FieldsOf(kOpenAi)) {
    ASSERT_TRUE(
        to.ReadField(name, from.WriteField(name, StateScope::kWhole).bytes, microseconds(0), now));
  }
}

TEST(TargetTableDocumentsTest, AnotherTableReadsTheSameState) {
  for (unsigned seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE(seed);
    const auto fleet = MakeEventful(seed);
    TargetTable copy(LimitedSettings(), 8);
    copy.BeginSharing(seed + 1);
    Copy(fleet->table, copy, fleet->now);
    for (const FieldName& name : {kProvider, kModel}) {
      for (const StateScope scope : {StateScope::kDecisive, StateScope::kWhole}) {
        EXPECT_EQ(copy.WriteField(name, scope).bytes, fleet->table.WriteField(name, scope).bytes);
      }
    }
    const auto view = fleet->table.ViewOne(Fleet::kTarget, fleet->Now());
    const auto copied = copy.ViewOne(Fleet::kTarget, fleet->Now());
    EXPECT_EQ(copied->state, view->state);
    EXPECT_EQ(copied->cause.why, view->cause.why);
    EXPECT_EQ(copied->window.calls, view->window.calls);
    EXPECT_EQ(copied->history.size(), view->history.size());
  }
}

TEST(TargetTableDocumentsTest, CutOrLengthenedBytesChangeNothing) {
  const auto fleet = MakeEventful(3);
  TargetTable table(LimitedSettings(), 8);
  Copy(fleet->table, table, fleet->now);
  for (const FieldName& name : {kProvider, kModel}) {
    const std::string bytes = fleet->table.WriteField(name, StateScope::kWhole).bytes;
    for (size_t size = 1; size < bytes.size(); ++size) {
      EXPECT_FALSE(table.ReadField(name, bytes.substr(0, size), microseconds(0), fleet->now))
          << name.field << " cut to " << size;
    }
    EXPECT_FALSE(table.ReadField(name, bytes + '\0', microseconds(0), fleet->now));
    EXPECT_EQ(table.WriteField(name, StateScope::kWhole).bytes, bytes);
  }
}

TEST(TargetTableDocumentsTest, GarbledBytesAreRefusedOrClamped) {
  const auto fleet = MakeEventful(4);
  const std::string sound = fleet->table.WriteField(kModel, StateScope::kWhole).bytes;
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = sound;
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<char>(random());
    TargetTable table(LimitedSettings(), 8);
    table.ReadField(kModel, bytes, microseconds(0), fleet->now);
    Verdict verdict;
    table.Admit({.reporter = "gw", .targets = {&Fleet::kTarget, 1}}, fleet->Now(), verdict);
    EXPECT_TRUE(verdict.granted_index == 0 || verdict.retry_after > 0ms);
  }
}

TEST(TargetTableDocumentsTest, AShiftMovesEveryMomentButNever) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask(), 30s);
  TargetTable table({}, 8);
  ASSERT_TRUE(table.ReadField(kModel, fleet.table.WriteField(kModel, StateScope::kWhole).bytes,
                              -microseconds(30min), fleet.now));
  const Moment earlier{fleet.now - 30min, 0};
  EXPECT_EQ(*table.ViewOne(Fleet::kTarget, earlier)->until, earlier.now + 30s);
}

TEST(TargetTableDocumentsTest, SuccessesAndAdmissionsAreNotDecisiveButFailuresAre) {
  Fleet fleet;
  fleet.table.BeginSharing(1);
  fleet.Attempt(OutcomeKind::kSuccess);
  const auto decisive = [&] { return fleet.table.WriteField(kModel, StateScope::kDecisive).bytes; };
  const std::string before = decisive();
  fleet.Attempt(OutcomeKind::kSuccess);
  EXPECT_EQ(decisive(), before);
  EXPECT_EQ(fleet.table.FreshOf(kModel).successes, 2u);
  fleet.Attempt(OutcomeKind::kUpstreamError);
  EXPECT_NE(decisive(), before);
}

TEST(TargetTableDocumentsTest, ReassertingMovesDeadlinesOnlyLater) {
  Fleet fleet;
  fleet.ReportLimit(fleet.Ask(), 30s);
  const auto until = [&] { return *fleet.table.ViewOne(Fleet::kTarget, fleet.Now())->until; };
  const MonotonicTime before = until();
  const auto reassert = [&](milliseconds remaining) {
    KeyRecord record{"openai", "gpt", {}};
    record.health.backoff_remaining = remaining;
    record.health.backoff_count = 1;
    fleet.table.Reassert(record, fleet.now);
  };
  reassert(10s);
  EXPECT_EQ(until(), before);
  reassert(60s);
  EXPECT_EQ(until(), fleet.now + 60s);
  reassert(20s);
  EXPECT_EQ(until(), fleet.now + 60s);
}

TEST(TargetTableDocumentsTest, ReassertingOpensWhatIsClosedAndClosesNothing) {
  Fleet open;
  open.Trip();
  const auto facts = open.table.FactsOf("openai", open.now);
  Fleet closed;
  closed.Attempt(OutcomeKind::kSuccess);
  for (const KeyRecord& record : facts) closed.table.Reassert(record, closed.now);
  EXPECT_EQ(closed.State(), HealthState::kOpen);
  open.table.Reassert({"openai", "gpt", {}}, open.now);
  EXPECT_EQ(open.State(), HealthState::kOpen);
}

}  // namespace
