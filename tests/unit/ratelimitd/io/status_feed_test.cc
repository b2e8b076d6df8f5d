#include "ratelimitd/io/status_feed.h"

#include <gtest/gtest.h>

#include "ratelimitd/store/memory_store.h"
#include "tests/support/fake_clock.h"

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

class StatusFeedTest : public testing::Test {
 protected:
  void ReportLimit(std::string_view provider) {
    table_.Update([&](TargetTable& table, auto next_moment) {
      table.Report({.reporter = "gw",
                    .target = TargetName{provider, "m"},
                    .kind = OutcomeKind::kRateLimited,
                    .http_status = 429,
                    .retry_after = 30s},
                   next_moment());
    });
  }
  std::unique_ptr<common::AdminEvents> Watch(std::string_view query = "") {
    return feed_.OpenEvents("/status/events" + std::string(query));
  }
  std::string PageOf(std::string_view target) {
    const auto page = feed_.FindPage(target);
    return page ? page->body : "no such page";
  }
  static bool IsIn(std::string_view part, std::string_view text) {
    return text.find(part) != text.npos;
  }

  candor_test::FakeClock clock_;
  MemoryStore store_;
  SharedTable table_{{}, 1, clock_, store_};
  StatusNotes notes_{.host = "host-1", .store_kind = "memory"};
  int looks_ = 0;
  StatusFeed feed_{table_, [this] {
                     ++looks_;
                     return notes_;
                   }};
};

TEST_F(StatusFeedTest, ThePageIsAtTwoPathsAndTakesAFilter) {
  ReportLimit("openai");
  ReportLimit("azure");
  struct Case {
    std::string_view target;
    bool has_openai;
    bool has_azure;
  };
  const Case cases[] = {
      {"/", true, true},
      {"/status", true, true},
      {"/status?q=", true, true},
      {"/status?other=x&q=AZ&more", false, true},
      {"/status?q=%6Fpen", true, false},
      {"/status?q=+openai%2Fm+", true, false},
      {"/status?q=%zz%", false, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.target);
    EXPECT_EQ(IsIn(">openai<", PageOf(c.target)), c.has_openai);
    EXPECT_EQ(IsIn(">azure<", PageOf(c.target)), c.has_azure);
  }
  EXPECT_EQ(feed_.FindPage("/status/"), std::nullopt);
  EXPECT_EQ(feed_.OpenEvents("/status"), nullptr);
  EXPECT_TRUE(IsIn("value=\"&quot;&gt;\"", PageOf("/status?q=%22%3E")));
}

TEST_F(StatusFeedTest, AWatcherIsToldAtOnceThenOfChangesOnly) {
  const auto watch = Watch();
  ASSERT_NE(watch->Next(), nullptr);
  clock_.Advance(500ms);
  EXPECT_EQ(watch->Next(), nullptr);
  ReportLimit("openai");
  clock_.Advance(500ms);
  const auto news = watch->Next();
  ASSERT_NE(news, nullptr);
  EXPECT_TRUE(IsIn("openai", *news));
  EXPECT_EQ(watch->Next(), nullptr);
  notes_.store = StatusNotes::Store::kAway;
  clock_.Advance(500ms);
  EXPECT_NE(watch->Next(), nullptr);
}

TEST_F(StatusFeedTest, WhatTimeAloneBringsIsNewsToo) {
  ReportLimit("openai");
  const auto watch = Watch();
  ASSERT_TRUE(IsIn("Backing off", *watch->Next()));
  clock_.Advance(40s);
  const auto news = watch->Next();
  ASSERT_NE(news, nullptr);
  EXPECT_TRUE(IsIn("Healthy again.", *news));
}

TEST_F(StatusFeedTest, AWatcherHearsSomethingEveryTenSeconds) {
  const auto watch = Watch();
  watch->Next();
  clock_.Advance(9s);
  EXPECT_EQ(watch->Next(), nullptr);
  clock_.Advance(1s);
  EXPECT_NE(watch->Next(), nullptr);
}

TEST_F(StatusFeedTest, AllWatchersOfAFilterShareOneLookAndOneText) {
  const auto first = Watch();
  const auto second = Watch();
  const auto other = Watch("?q=x");
  const auto text = first->Next();
  EXPECT_EQ(second->Next(), text);
  EXPECT_EQ(looks_, 1);
  EXPECT_NE(other->Next(), text);
  EXPECT_EQ(looks_, 2);
  ReportLimit("openai");
  for (int i = 0; i < 100; ++i) {
    clock_.Advance(10ms);
    first->Next();
    second->Next();
    PageOf("/");
  }
  EXPECT_LE(looks_, 4) << "at most two looks a second";
}

TEST_F(StatusFeedTest, FiltersAreBounded) {
  const auto watch = Watch();
  watch->Next();
  for (size_t i = 0; i < 10 * StatusFeed::kMaxFilters; ++i) {
    clock_.Advance(1ms);
    PageOf("/?q=" + std::to_string(i));
  }
  clock_.Advance(1ms);
  looks_ = 0;
  watch->Next();
  EXPECT_EQ(looks_, 1) << "it had been forgotten and is looked up again";
  const std::string page = PageOf("/?q=" + std::string(5000, 'x'));
  EXPECT_TRUE(IsIn("value=\"" + std::string(StatusFeed::kMaxFilterBytes, 'x') + "\"", page));
}

}  // namespace
}  // namespace ratelimitd
