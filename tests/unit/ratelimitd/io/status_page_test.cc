#include "ratelimitd/io/status_page.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>

namespace ratelimitd {
namespace {

using namespace std::chrono_literals;

constexpr common::MonotonicTime kNow{1h};
constexpr common::WallTime kWall{std::chrono::seconds(1'790'000'000)};

HealthView View(std::string provider, std::string model, HealthState state) {
  HealthView view{.provider = std::move(provider), .model = std::move(model), .state = state};
  if (state == HealthState::kHealthy) return view;
  view.since = kNow - 5s;
  view.until = kNow + 65s;
  view.cause = {"The provider answered HTTP 429; backing off 70 s.", "gw-1"};
  view.probes_out = state == HealthState::kHalfOpen ? 1 : 0;
  view.history = {{kNow - 5s, HealthState::kHealthy, state, view.cause.why, "gw-1"}};
  return view;
}

StatusPicture Picture(std::vector<HealthView> views) {
  StatusPicture picture{.excerpt = {.views = std::move(views)},
                        .notes = {.host = "host-1", .store_kind = "sqlite", .sessions = 2},
                        .filter = "",
                        .now = kNow,
                        .wall = kWall};
  for (const HealthView& view : picture.excerpt.views) {
    ++(view.model.empty() ? picture.excerpt.providers
                          : picture.excerpt.targets_by_state[static_cast<size_t>(view.state)]);
  }
  return picture;
}

std::string Rows(const StatusView& view) {
  std::string rows;
  for (const auto& section : view.sections) rows += section.html;
  return rows;
}

std::string Page(const StatusPicture& picture) {
  return RenderStatusPage(RenderStatus(picture, {}), picture).body;
}

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

TEST(StatusPageTest, AStateIsToldWithReasonReporterDatesAndHistory) {
  const StatusView view =
      RenderStatus(Picture({View("openai", "", HealthState::kHealthy),
                            View("openai", "gpt-4o", HealthState::kBackingOff)}),
                   {});
  const std::string rows = Rows(view);
  for (const std::string_view part : {
           "<th scope=\"rowgroup\">openai</th>",
           "<th scope=\"row\">gpt-4o</th>",
           "<span class=\"chip backing_off\"><span aria-hidden=\"true\">◑</span> Backing "
           "off</span>",
           "<time data-since=\"1789999995000\" datetime=\"2026-09-21T14:13:15Z\">",
           "asked again in <time data-until=\"1790000065000\" datetime=\"2026-09-21T14:14:25Z\">"
           "1m5s</time>",
           "The provider answered HTTP 429; backing off 70 s. <small>Reported by gw-1</small>",
           "<summary>Last change<span class=\"hidden\"> of openai/gpt-4o</span></summary>",
       }) {
    EXPECT_TRUE(Contains(rows, part)) << part << "\nis not in\n" << rows;
  }
  EXPECT_TRUE(Contains(view.notice, "1 target of 1 provider · 2 gateway sessions · store: sqlite"));
  EXPECT_EQ(view.now_ms, 1'790'000'000'000);
}

TEST(StatusPageTest, WhatHoldsForTheProviderHoldsForItsTargets) {
  const std::string rows =
      Rows(RenderStatus(Picture({View("gemini", "", HealthState::kBlocked),
                                 View("gemini", "pro", HealthState::kBackingOff)}),
                        {}));
  EXPECT_TRUE(Contains(rows, "As the whole provider is."));
  EXPECT_FALSE(Contains(rows, "chip backing_off"));
}

TEST(StatusPageTest, AnOverrideTellsWhatWouldBeWithoutIt) {
  HealthView view = View("openai", "gpt", HealthState::kForcedClosed);
  view.ruling = OverrideView{.mode = OverrideMode::kForcedClosed,
                             .began = kNow - 5s,
                             .learned_state = HealthState::kOpen,
                             .overruled = 1234};
  const std::string rows =
      Rows(RenderStatus(Picture({View("openai", "", HealthState::kBlocked), view}), {}));
  EXPECT_TRUE(Contains(rows, "override ends in"));
  EXPECT_TRUE(Contains(rows, "Without the override: Breaker open. Admitted against it: 1,234 "))
      << rows;
}

TEST(StatusPageTest, TheMostSeriousProviderAndTargetComeFirst) {
  const StatusView view = RenderStatus(
      Picture({View("a", "", HealthState::kHealthy), View("a", "x", HealthState::kHealthy),
               View("b", "", HealthState::kHealthy), View("b", "x", HealthState::kRamping),
               View("b", "y", HealthState::kOpen), View("c", "", HealthState::kBlocked)}),
      {});
  ASSERT_EQ(view.sections.size(), 3u);
  EXPECT_TRUE(Contains(view.sections[0].html, "rowgroup\">c<"));
  EXPECT_TRUE(Contains(view.sections[1].html, "rowgroup\">b<"));
  EXPECT_LT(view.sections[1].html.find(">y<"), view.sections[1].html.find(">x<"));
  EXPECT_TRUE(Contains(view.sections[2].html, "rowgroup\">a<"));
}

TEST(StatusPageTest, LimitsProbesAndRecentCallsAreShown) {
  HealthView provider = View("openai", "", HealthState::kHalfOpen);
  provider.limits = LimitView{
      .settings = {.requests_per_minute = 5000, .tokens_per_minute = 2'000'000, .concurrent = 20},
      .left = {.requests = {5000, 4990, 1s}, .tokens = {2'000'000, 0, 60s}},
      .running = 25};
  HealthView target = View("openai", "gpt", HealthState::kHealthy);
  target.window = {.calls = 1200, .failures = 3};
  const std::string rows = Rows(RenderStatus(Picture({provider, target}), {}));
  for (const std::string_view part :
       {"Requests a minute: 4,990 of 5,000 left", "Tokens a minute: 0 of 2,000,000 left",
        "Requests at a time: 0 of 20 left", "1 probe out", "3 of 1,200 failed"}) {
    EXPECT_TRUE(Contains(rows, part)) << part << "\nis not in\n" << rows;
  }
}

TEST(StatusPageTest, TroubleOfTheServiceItselfStandsAbove) {
  struct Case {
    StatusNotes::Store store;
    bool is_draining;
    std::string_view want;
  };
  const Case cases[] = {
      {StatusNotes::Store::kAway, false, "The shared store is away."},
      {StatusNotes::Store::kFailing, false, "The store takes nothing."},
      {StatusNotes::Store::kWorking, true, "shutting down"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.want);
    StatusPicture picture = Picture({});
    EXPECT_FALSE(Contains(RenderStatus(picture, {}).notice, "alarm"));
    picture.notes.store = c.store;
    picture.notes.is_draining = c.is_draining;
    EXPECT_TRUE(Contains(RenderStatus(picture, {}).notice, c.want));
  }
}

// Every text of others, as an attacker would choose it.
StatusPicture Hostile() {
  const std::string evil =
      "</td></script><script>alert(1)</script><img src=x onerror=\"alert(2)\">'{{rows}}\r\n\r\n"
      "event: x\ndata: y\n\n\xFF\u202E";
  HealthView provider = View(evil, "", HealthState::kBlocked);
  HealthView target = View(evil, evil, HealthState::kOpen);
  for (HealthView* view : {&provider, &target}) {
    view->cause = {evil, evil};
    view->history = {{kNow, HealthState::kHealthy, view->state, evil, evil}};
  }
  StatusPicture picture = Picture({provider, target});
  picture.filter = evil;
  picture.notes.host = evil;
  picture.notes.store_kind = evil;
  return picture;
}

TEST(StatusPageTest, TextsOfOthersNeverBecomeMarkup) {
  const StatusView view = RenderStatus(Hostile(), {});
  const std::string html = view.notice + Rows(view);
  const std::regex tag("<(/?[a-z]*)[^>]*>");
  const std::set<std::string> ours = {"b",  "details", "li", "ol",   "p",  "small", "span",
                                      "td", "summary", "th", "time", "tr", "tbody"};
  for (auto it = std::sregex_iterator(html.begin(), html.end(), tag); it != std::sregex_iterator();
       ++it) {
    std::string name = (*it)[1];
    if (name.starts_with('/')) name.erase(0, 1);
    EXPECT_TRUE(ours.contains(name)) << it->str();
    EXPECT_FALSE(Contains(it->str(), "onerror")) << it->str();
  }
  EXPECT_TRUE(Contains(html, "&lt;script&gt;alert(1)&lt;/script&gt;"));
  EXPECT_FALSE(Contains(html, "\u202E"));
}

TEST(StatusPageTest, ThePageRunsItsOwnScriptAndNothingElse) {
  const StatusPicture hostile = Hostile();
  const common::AdminAnswer page = RenderStatusPage(RenderStatus(hostile, {}), hostile);
  EXPECT_EQ(page.content_type, "text/html; charset=utf-8");
  for (const std::string_view header :
       {"Content-Security-Policy: default-src 'none'; script-src 'sha256-", "base-uri 'none'",
        "frame-ancestors 'none'", "X-Content-Type-Options: nosniff\r\n",
        "Cache-Control: no-store\r\n"}) {
    EXPECT_TRUE(Contains(page.headers, header)) << header;
  }
  EXPECT_FALSE(Contains(page.headers, "unsafe"));
  const auto count = [&page](std::string_view part) {
    int found = 0;
    for (size_t at = 0; (at = page.body.find(part, at)) != page.body.npos; ++at) ++found;
    return found;
  };
  EXPECT_EQ(count("<script"), 1);
  EXPECT_EQ(count("<style"), 1);
  EXPECT_EQ(count("<img"), 0);
  EXPECT_EQ(count("http:") + count("https:"), 0) << "nothing comes from elsewhere";
  const std::string plain = Page(Picture({View("openai", "", HealthState::kHealthy)}));
  EXPECT_FALSE(Contains(plain, "{{")) << "something was not filled in";
  EXPECT_TRUE(Contains(plain, "<th scope=\"rowgroup\">openai</th>"));
}

TEST(StatusPageTest, EveryStateHasItsLookAndIsExplainedAlike) {
  const std::string empty_page = Page(Picture({}));
  const std::regex chip(
      "<span class=\"chip [a-z_]+\"><span aria-hidden=\"true\">[^<]+</span> [^<]+"
      "</span>");
  for (int state = 1; state < kHealthStates; ++state) {
    SCOPED_TRACE(state);
    const std::string rows =
        Rows(RenderStatus(Picture({View("x", "", static_cast<HealthState>(state))}), {}));
    std::smatch found;
    ASSERT_TRUE(std::regex_search(rows, found, chip));
    EXPECT_TRUE(Contains(empty_page, "<dt>" + found.str() + "</dt>")) << found.str();
  }
}

TEST(StatusPageTest, AnEventIsOneLineOfJsonWithTheSameParts) {
  const StatusView view = RenderStatus(Hostile(), {});
  const std::string event = RenderStatusEvent(view);
  ASSERT_TRUE(event.starts_with("data: {") && event.ends_with("}\n\n"));
  EXPECT_EQ(event.find_first_of("\r\n"), event.size() - 2);
  const auto json = nlohmann::json::parse(event.substr(6), nullptr, false);
  ASSERT_FALSE(json.is_discarded());
  EXPECT_EQ(json["now"], view.now_ms);
  EXPECT_EQ(json["notice"], view.notice);
  ASSERT_EQ(json["sections"].size(), 1u);
  EXPECT_EQ(json["sections"][0][0], view.sections[0].id);
  EXPECT_EQ(json["sections"][0][1], view.sections[0].html);
}

TEST(StatusPageTest, ThePageStaysSmallAndSaysWhatIsLeftOut) {
  std::vector<HealthView> views;
  for (int i = 0; i < 300; ++i) {
    const std::string provider = "provider-" + std::to_string(i / 50);
    if (i % 50 == 0) views.push_back(View(provider, "", HealthState::kHealthy));
    HealthView view = View(provider, std::string(200, '<') + std::to_string(i), HealthState::kOpen);
    view.cause.why = std::string(400, '"');
    view.history.assign(Health::kMaxHistory, view.history.front());
    views.push_back(std::move(view));
  }
  StatusPicture picture = Picture(std::move(views));
  picture.excerpt.targets_left_out = 19'700;
  const StatusPageBounds bounds{.targets = 300, .bytes = 100'000};
  const StatusView view = RenderStatus(picture, bounds);
  const std::string rows = Rows(view);
  EXPECT_LT(rows.size(), bounds.bytes + 20'000);
  size_t shown = 0;
  for (size_t at = 0; (at = rows.find("scope=\"row\"", at)) != rows.npos; ++at) ++shown;
  EXPECT_GT(shown, 10u);
  const std::string left_out = std::to_string(20'000 - shown).insert(2, ",");
  EXPECT_TRUE(Contains(view.notice, left_out + " more targets are not shown")) << view.notice;
}

}  // namespace
}  // namespace ratelimitd
