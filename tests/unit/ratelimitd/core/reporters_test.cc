#include "ratelimitd/core/reporters.h"

#include <gtest/gtest.h>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr MonotonicTime kNow{1h};

TEST(ReportersTest, ThreadsOfOneHostAreOneHost) {
  Reporters reporters(10);
  reporters.BeginSession("a:0", "pod-a", kNow);
  reporters.BeginSession("a:1", "pod-a", kNow);
  EXPECT_EQ(reporters.CountLiveHosts(kNow, 5), 1);
  reporters.BeginSession("b:0", "pod-b", kNow);
  EXPECT_EQ(reporters.CountLiveHosts(kNow, 5), 2);
}

TEST(ReportersTest, HostIsAliveWhileItsSessionIsOrForAMinute) {
  Reporters reporters(10);
  reporters.BeginSession("a", "", kNow);
  EXPECT_EQ(reporters.CountLiveHosts(kNow + 1h, 5), 1);
  EXPECT_NE(reporters.EndSession("a", kNow + 1h), 0u);
  EXPECT_EQ(reporters.CountLiveHosts(kNow + 1h + 59s, 5), 1);
  EXPECT_EQ(reporters.CountLiveHosts(kNow + 1h + 60s, 5), 0);
}

TEST(ReportersTest, OnlyTheLastSessionEndsTheReporter) {
  Reporters reporters(10);
  reporters.BeginSession("a", "", kNow);
  reporters.BeginSession("a", "", kNow);
  EXPECT_EQ(reporters.EndSession("a", kNow), 0u);
  EXPECT_NE(reporters.EndSession("a", kNow), 0u);
  EXPECT_EQ(reporters.EndSession("a", kNow), 0u);
  EXPECT_EQ(reporters.EndSession("unknown", kNow), 0u);
}

TEST(ReportersTest, RoomIsMadeOnlyByReportersWithoutSession) {
  Reporters reporters(2);
  reporters.BeginSession("with-session", "", kNow);
  reporters.Find("old", kNow);
  EXPECT_NE(reporters.Find("new", kNow + 1s), nullptr);
  EXPECT_EQ(reporters.size(), 2u);
  EXPECT_TRUE(reporters.BeginSession("new", "", kNow));
  EXPECT_EQ(reporters.Find("too-many", kNow), nullptr);
}

}  // namespace
}  // namespace ratelimitd
