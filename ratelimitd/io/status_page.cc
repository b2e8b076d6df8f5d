#include "ratelimitd/io/status_page.h"

#include <google/protobuf/util/time_util.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/concat.h"
#include "common/html_text.h"
#include "common/json_text.h"
#include "common/unit_text.h"
#include "ratelimitd/core/stable_hash.h"
#include "ratelimitd/io/provider_messages.h"
#include "status_page_html.h"

namespace ratelimitd {
namespace {

using common::Concat;
using common::HtmlText;
using google::protobuf::Timestamp;
using google::protobuf::util::TimeUtil;

// How a state looks: a word and a shape, so that nobody needs to see colours.
struct StateLook {
  std::string_view word;
  std::string_view shape;
  std::string_view until;  // what happens then
};
constexpr std::array<StateLook, kHealthStates> kLooks = {{
    {"Healthy", "●", ""},
    {"Healthy", "●", ""},
    {"Ramping up", "◕", "full rate in"},
    {"Backing off", "◑", "asked again in"},
    {"Breaker half open", "◔", ""},
    {"Breaker open", "○", "probed in"},
    {"Blocked", "✕", "blocked for"},
    {"Only observed", "◌", "override ends in"},
    {"Forced closed", "◉", "override ends in"},
    {"Forced open", "⊘", "override ends in"},
}};

const StateLook& LookOf(int state) { return kLooks[static_cast<size_t>(state)]; }

// "2026-11-28T14:45:02Z"
std::string DateText(const Timestamp& at) {
  return TimeUtil::ToString(TimeUtil::SecondsToTimestamp(at.seconds()));
}

// "2,000,000"
std::string NumberText(int64_t number) {
  std::string text = std::to_string(number);
  for (auto end = static_cast<std::ptrdiff_t>(text.size()) - 3; end > 0; end -= 3) {
    text.insert(static_cast<size_t>(end), 1, ',');
  }
  return text;
}

std::string CountText(int64_t count, std::string_view one, std::string_view many) {
  return Concat(NumberText(count), " ", count == 1 ? one : many);
}

// More serious ones have greater numbers.
int StateOf(const pb::Health& health) {
  return std::max<int>(health.state(), pb::HEALTH_STATE_HEALTHY);
}

bool IsHeldByProvider(const pb::Provider& provider, const pb::TargetHealth& target) {
  return StateOf(provider.health()) > StateOf(target.health());
}

int StateOf(const pb::Provider& provider, const pb::TargetHealth& target) {
  return std::max(StateOf(provider.health()), StateOf(target.health()));
}

int WorstState(const pb::Provider& provider) {
  int worst = StateOf(provider.health());
  for (const auto& target : provider.targets()) worst = std::max(worst, StateOf(target.health()));
  return worst;
}

void AddChip(int state, HtmlText& html) {
  html.Markup("<span class=\"chip ")
      .Text(HealthStateName(static_cast<HealthState>(state)))
      .Markup("\"><span aria-hidden=\"true\">")
      .Text(LookOf(state).shape)
      .Markup("</span> ")
      .Text(LookOf(state).word)
      .Markup("</span>");
}

void AddStateCell(int state, const pb::Health& health, HtmlText& html) {
  html.Markup("<td class=\"state\">");
  AddChip(state, html);
  if (health.probes_in_flight() > 0) {
    html.Markup(" <small>")
        .Text(CountText(health.probes_in_flight(), "probe out", "probes out"))
        .Markup("</small>");
  }
  html.Markup("</td>");
}

// A moment, by its distance ("since", "until") or as a date ("at") where the script shows it.
void AddTime(std::string_view how, const Timestamp& at, std::string_view text, HtmlText& html) {
  html.Markup("<time data-")
      .Text(how)
      .Markup("=\"")
      .Number(TimeUtil::TimestampToMilliseconds(at))
      .Markup("\" datetime=\"")
      .Text(DateText(at))
      .Markup("\">")
      .Text(text)
      .Markup("</time>");
}

void AddTimeCells(const pb::Health& health, HtmlText& html) {
  html.Markup("<td data-label=\"Since\">");
  if (health.has_since()) AddTime("since", health.since(), DateText(health.since()), html);
  html.Markup("</td><td data-label=\"Next\">");
  if (health.has_until()) {
    const milliseconds left(TimeUtil::DurationToMilliseconds(health.remaining()));
    html.Text(LookOf(StateOf(health)).until).Markup(" ");
    AddTime("until", health.until(),
            common::RenderDuration(std::chrono::ceil<std::chrono::seconds>(left)), html);
  }
  html.Markup("</td>");
}

void AddTransition(const pb::StateTransition& transition, HtmlText& html) {
  html.Markup("<li>");
  AddTime("at", transition.occurred_at(), DateText(transition.occurred_at()), html);
  html.Markup(" <b>").Text(LookOf(transition.to_state()).word).Markup("</b>: ");
  html.Text(transition.why());
  if (!transition.reporter().empty()) {
    html.Markup(" <small>").Text(transition.reporter()).Markup("</small>");
  }
  html.Markup("</li>");
}

// `name`: of the key whose changes they are, told to those who hear the page.
void AddTransitions(const pb::Health& health, std::string_view name, HtmlText& html) {
  if (health.transitions().empty()) return;
  const int count = health.transitions_size();
  html.Markup("<details><summary>")
      .Text(count == 1 ? "Last change" : Concat("Last ", count, " changes"))
      .Markup("<span class=\"hidden\"> of ")
      .Text(name)
      .Markup("</span></summary><ol>");
  for (auto it = health.transitions().rbegin(); it != health.transitions().rend(); ++it) {
    AddTransition(*it, html);
  }
  html.Markup("</ol></details>");
}

void AddLimit(std::string_view what, int64_t left, int64_t limit, HtmlText& html) {
  if (limit == 0) return;
  html.Markup("<li>")
      .Text(what)
      .Markup(": ")
      .Text(NumberText(left))
      .Markup(" of ")
      .Text(NumberText(limit))
      .Markup(" left</li>");
}

void AddLimits(const pb::ProviderLimits& limits, HtmlText& html) {
  html.Markup("<ul class=\"limits\" aria-label=\"Limits\">");
  AddLimit("Requests a minute", limits.requests_remaining(), limits.requests_per_minute(), html);
  AddLimit("Tokens a minute", limits.tokens_remaining(), limits.tokens_per_minute(), html);
  const int64_t free = limits.concurrent_requests() - limits.concurrent_in_use();
  AddLimit("Requests at a time", std::max<int64_t>(free, 0), limits.concurrent_requests(), html);
  html.Markup("</ul>");
}

void AddWhy(const pb::Health& health, HtmlText& html) {
  html.Text(health.why());
  if (!health.reporter().empty()) {
    html.Markup(" <small>Reported by ").Text(health.reporter()).Markup("</small>");
  }
  if (health.has_active_override()) {
    const pb::ActiveOverride& ruling = health.active_override();
    html.Markup(" <small>Without the override: ")
        .Text(LookOf(ruling.learned_state()).word)
        .Markup(". Admitted against it: ")
        .Text(CountText(ruling.overruled_requests(), "request", "requests"))
        .Markup("</small>");
  }
}

// `failed`: what counts as a failure here.
void AddCallsCell(const pb::Health& health, std::string_view failed, HtmlText& html) {
  html.Markup("<td data-label=\"Recent calls\" class=\"calls\">");
  if (health.window().calls() > 0) {
    html.Text(NumberText(health.window().failures()))
        .Markup(" of ")
        .Text(NumberText(health.window().calls()))
        .Markup(" ")
        .Text(failed);
  }
  html.Markup("</td></tr>");
}

void AddProviderRow(const pb::Provider& provider, HtmlText& html) {
  const pb::Health& health = provider.health();
  html.Markup("<tr class=\"provider\"><th scope=\"rowgroup\">")
      .Text(provider.name())
      .Markup("</th>");
  if (StateOf(health) == pb::HEALTH_STATE_HEALTHY && provider.targets_size() > 0) {
    html.Markup("<td class=\"state\"></td>");
  } else {
    AddStateCell(StateOf(health), health, html);
  }
  AddTimeCells(health, html);
  html.Markup("<td data-label=\"Why\" class=\"why\">");
  AddWhy(health, html);
  if (provider.has_limits()) AddLimits(provider.limits(), html);
  AddTransitions(health, provider.name(), html);
  html.Markup("</td>");
  // Of a provider's own calls only those count that did not reach it.
  if (health.window().failures() > 0) {
    AddCallsCell(health, "unreachable", html);
  } else {
    html.Markup("<td></td></tr>");
  }
}

void AddTargetRow(const pb::Provider& provider, const pb::TargetHealth& target, HtmlText& html) {
  const bool is_held = IsHeldByProvider(provider, target);
  const pb::Health& health = target.health();
  html.Markup("<tr><th scope=\"row\">").Text(target.model()).Markup("</th>");
  AddStateCell(StateOf(provider, target), health, html);
  AddTimeCells(is_held ? provider.health() : health, html);
  html.Markup("<td data-label=\"Why\" class=\"why\">");
  if (is_held) {
    html.Text("As the whole provider is.");
  } else {
    AddWhy(health, html);
  }
  AddTransitions(health, Concat(provider.name(), "/", target.model()), html);
  html.Markup("</td>");
  AddCallsCell(health, "failed", html);
}

std::vector<pb::Provider> WorstFirst(const StatusPicture& picture) {
  std::vector<const HealthView*> views;
  for (const HealthView& view : picture.excerpt.views) views.push_back(&view);
  std::vector<pb::Provider> providers = BuildProviders(views, {picture.now, picture.wall});
  for (pb::Provider& provider : providers) {
    auto& targets = *provider.mutable_targets();
    std::stable_sort(targets.pointer_begin(), targets.pointer_end(), [&](auto* a, auto* b) {
      return StateOf(provider, *a) > StateOf(provider, *b);
    });
  }
  std::stable_sort(providers.begin(), providers.end(),
                   [](const auto& a, const auto& b) { return WorstState(a) > WorstState(b); });
  return providers;
}

void AddStoreNotice(const StatusNotes& notes, HtmlText& html) {
  if (notes.store == StatusNotes::Store::kAway) {
    html.Markup(
            "<p class=\"alarm\"><b>The shared store is away.</b> This ratelimitd answers by its ")
        .Markup("last known state; what it learns is merged when the store is back.</p>");
  }
  if (notes.store == StatusNotes::Store::kFailing) {
    html.Markup(
            "<p class=\"alarm\"><b>The store takes nothing.</b> Decisions are right, but what is ")
        .Markup("learned now would be lost in a crash; the log has the error.</p>");
  }
  if (notes.is_draining) {
    html.Markup("<p class=\"alarm\"><b>This ratelimitd is shutting down.</b></p>");
  }
}

void AddSummary(const StatusPicture& picture, HtmlText& html) {
  size_t all = 0;
  for (const size_t count : picture.excerpt.targets_by_state) all += count;
  html.Markup("<p class=\"summary\">");
  for (int state = kHealthStates - 1; state > 0; --state) {
    const size_t count = picture.excerpt.targets_by_state[static_cast<size_t>(state)];
    if (count == 0) continue;
    html.Markup("<span class=\"count\"><b>")
        .Text(NumberText(static_cast<int64_t>(count)))
        .Markup("</b> ");
    AddChip(state, html);
    html.Markup("</span> ");
  }
  html.Markup("</p><p>")
      .Text(CountText(static_cast<int64_t>(all), "target", "targets"))
      .Markup(" of ")
      .Text(CountText(static_cast<int64_t>(picture.excerpt.providers), "provider", "providers"));
  if (!picture.filter.empty()) html.Markup(" match “").Text(picture.filter).Markup("”");
  html.Markup(" · ")
      .Text(CountText(picture.notes.sessions, "gateway session", "gateway sessions"))
      .Markup(" · store: ")
      .Text(picture.notes.store_kind)
      .Markup("</p>");
}

void AddLeftOut(size_t left_out, HtmlText& html) {
  if (left_out == 0) return;
  html.Markup("<p class=\"left-out\"><b>")
      .Text(CountText(static_cast<int64_t>(left_out), "more target is", "more targets are"))
      .Markup(" not shown,</b> in no more serious state than those below. Filter to find one.</p>");
}

// Of a <style> or <script> without variable parts, as Content-Security-Policy names it.
std::string HashOfElement(std::string_view page, std::string_view begin, std::string_view end) {
  const size_t from = page.find(begin) + begin.size();
  const std::string_view content = page.substr(from, page.find(end, from) - from);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest);
  unsigned char text[4 * (SHA256_DIGEST_LENGTH / 3 + 1) + 1];
  const int length = EVP_EncodeBlock(text, digest, SHA256_DIGEST_LENGTH);
  return Concat("'sha256-",
                std::string_view(reinterpret_cast<const char*>(text), static_cast<size_t>(length)),
                "'");
}

std::string PageHeaders() {
  return Concat("Content-Security-Policy: default-src 'none'; script-src ",
                HashOfElement(kStatusPageHtml, "<script>", "</script>"), "; style-src ",
                HashOfElement(kStatusPageHtml, "<style>", "</style>"),
                "; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
                "frame-ancestors 'none'\r\n"
                "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
                "Referrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n"
                "Cache-Control: no-store\r\n");
}

std::string Escaped(std::string_view text) {
  std::string html;
  common::AppendHtmlText(text, html);
  return html;
}

}  // namespace

StatusView RenderStatus(const StatusPicture& picture, const StatusPageBounds& bounds) {
  StatusView view;
  const auto since_1970 = std::chrono::floor<milliseconds>(picture.wall.time_since_epoch());
  view.now_ms = since_1970.count();
  size_t left_out = picture.excerpt.targets_left_out;
  size_t bytes = 0;
  for (const pb::Provider& provider : WorstFirst(picture)) {
    if (bytes > bounds.bytes) {
      left_out += static_cast<size_t>(std::max(provider.targets_size(), 1));
      continue;
    }
    const std::string id = absl::StrFormat("p%016x", StableHash(provider.name()));
    HtmlText html;
    html.Markup("<tbody id=\"").Text(id).Markup("\">");
    AddProviderRow(provider, html);
    for (const pb::TargetHealth& target : provider.targets()) {
      if (bytes + html.size() > bounds.bytes) {
        ++left_out;
      } else {
        AddTargetRow(provider, target, html);
      }
    }
    html.Markup("</tbody>");
    bytes += html.size();
    view.sections.push_back({id, html.html()});
  }
  HtmlText notice;
  AddStoreNotice(picture.notes, notice);
  AddSummary(picture, notice);
  AddLeftOut(left_out, notice);
  view.notice = notice.html();
  return view;
}

common::AdminAnswer RenderStatusPage(const StatusView& view, const StatusPicture& picture) {
  static const std::string headers = PageHeaders();
  std::string rows;
  for (const StatusView::Section& section : view.sections) rows += section.html;
  const std::pair<std::string_view, std::string> values[] = {
      {"host", Escaped(picture.notes.host)},
      {"now", std::to_string(view.now_ms)},
      {"filter", Escaped(picture.filter)},
      {"notice", view.notice},
      {"rows", std::move(rows)},
  };
  std::string html;
  std::string_view page = kStatusPageHtml;
  for (size_t at = 0; (at = page.find("{{")) != page.npos;) {
    html.append(page.substr(0, at));
    page.remove_prefix(at + 2);
    const std::string_view name = page.substr(0, page.find("}}"));
    for (const auto& [known, value] : values) {
      if (name == known) html.append(value);
    }
    page.remove_prefix(name.size() + 2);
  }
  html.append(page);
  return {.content_type = "text/html; charset=utf-8", .body = std::move(html), .headers = headers};
}

std::string RenderStatusEvent(const StatusView& view) {
  std::string event = Concat("data: {\"now\":", view.now_ms, ",\"notice\":");
  common::AppendJsonString(view.notice, event);
  event += ",\"sections\":[";
  for (const StatusView::Section& section : view.sections) {
    if (event.back() != '[') event += ',';
    event += Concat("[\"", section.id, "\",");
    common::AppendJsonString(section.html, event);
    event += ']';
  }
  event += "]}\n\n";
  return event;
}

}  // namespace ratelimitd
