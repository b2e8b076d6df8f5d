"""ratelimitd's status page as people see it: in a real browser, live, at a desk, on a phone."""

import contextlib
import itertools
import re

import pytest

from support import http_client
from support.browser import Browser
from support.programs import wait_until

PAIR = {"routes": {"openai": 6}, "ratelimitd_config": {"providers": [{"name": "limited"}]}}
PAIR["ratelimitd_config"]["providers"][0]["limits"] = {"requests_per_minute": 5000}
HOSTILE = "</th><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
LONG = "a-name-without-any-place-to-break-it-" * 6
MAX_WATCHERS = 32


@pytest.fixture(scope="module")
def browser():
    with contextlib.closing(Browser()) as opened:
        opened.resize(1280, 800)
        yield opened


@pytest.fixture
def page(browser, pair):
    browser.open(url(pair.ratelimitd))
    wait_until(lambda: browser.text("#live") == "● Live", "the page is live")
    yield browser
    complaints = [entry["message"] for entry in browser.console() if entry["level"] == "SEVERE"]
    assert complaints == []


def url(ratelimitd, path="/"):
    return f"http://{ratelimitd.addresses['admin']}{path}"


_numbers = itertools.count(1)


def report(ratelimitd, provider, model, **fields):
    """As a gateway does."""
    fields = {"kind": "OUTCOME_KIND_RATE_LIMITED", "http_status": 429, **fields}
    target = {"provider": provider, "model": model}
    attempt = {"sequence_number": next(_numbers), "target": target, **fields}
    ratelimitd.call("AdmissionService/Report", {"reporter": HOSTILE, "report": attempt})


def row_of(browser, provider):
    """The texts of the cells of its first target; None when it is not there."""
    return browser.run(
        """const bodies = [...document.querySelectorAll('tbody')];
        const body = bodies.find((b) => b.querySelector('th').innerText === arguments[0]);
        const row = body && body.rows[1];
        return row ? [...row.cells].map((cell) => cell.innerText) : null""",
        provider,
    )


def state_of(browser, provider):
    row = row_of(browser, provider)
    return row and row[1].split(" ", 1)[1]


def seconds_left(browser, provider):
    """Of the countdown; None when there is none."""
    found = re.fullmatch(r"asked again in (?:(\d+) min )?(\d+) s", row_of(browser, provider)[3])
    return found and 60 * int(found.group(1) or 0) + int(found.group(2))


def test_a_backoff_appears_counts_down_and_ends_while_somebody_watches(pair, page):
    route = pair.solo()
    page.run("window.isTheSamePage = true")
    route.first.next(status=429, headers={"retry-after": "8"})
    assert pair.gateway.chat(route.model).status == 429

    wait_until(lambda: state_of(page, route.first.name) == "Backing off", "the page shows it")
    first = seconds_left(page, route.first.name)
    assert 1 <= first <= 10
    why = row_of(page, route.first.name)[4]
    assert "The provider answered HTTP 429" in why
    assert "Reported by" in why
    wait_until(lambda: (seconds_left(page, route.first.name) or 0) < first, "the countdown falls")
    wait_until(lambda: state_of(page, route.first.name) == "Healthy", "it is healthy again")
    assert "Healthy again." in page.run("return document.querySelector('ol').textContent")
    assert page.run("return window.isTheSamePage")


def test_names_of_others_are_text(pair, page):
    report(pair.ratelimitd, HOSTILE, HOSTILE, provider_code=HOSTILE[:60], retry_after_ms=600000)

    wait_until(lambda: state_of(page, HOSTILE) == "Backing off", "the page shows it")
    assert row_of(page, HOSTILE)[0] == HOSTILE
    assert HOSTILE[:60] in row_of(page, HOSTILE)[4]
    page.open(url(pair.ratelimitd))  # as the server renders it
    assert row_of(page, HOSTILE)[0] == HOSTILE
    assert page.run("return document.images.length + document.scripts.length") == 1
    # Whatever got in could not run: the policy allows one script by its hash.
    page.run("document.body.append(Object.assign(document.createElement('script'), "
             "{textContent: 'window.ran = 1'}))")
    assert page.run("return window.ran === undefined")
    assert "Content Security Policy" in page.console()[-1]["message"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width, is_phone", [(1280, False), (360, True)])
def test_it_fits_and_can_be_read(pair, page, width, is_phone, scheme):
    for kind in ("RATE_LIMITED", "QUOTA_EXHAUSTED", "SUCCESS"):
        report(pair.ratelimitd, LONG[:100] + kind, LONG, kind=f"OUTCOME_KIND_{kind}")
    page.resize(width, 800, scheme, is_phone)
    try:
        wait_until(lambda: state_of(page, LONG[:100] + "SUCCESS") == "Healthy", "all is shown")
        page.run("document.querySelectorAll('details').forEach((d) => { d.open = true })")
        assert page.run("return document.documentElement.scrollWidth") <= width
        assert page.run(CLIPPED_CHIPS) == []
        assert page.run(POOR_CONTRASTS) == []
    finally:
        page.resize(1280, 800)


CLIPPED_CHIPS = """
const right = (element) => element.getBoundingClientRect().right;
return [...document.querySelectorAll('tbody .chip')]
  .filter((chip) => right(chip) > right(chip.closest('tbody'))).map((chip) => chip.innerText)"""

# WCAG 2.1, 1.4.3: 4.5 to 1 for text of ordinary size.
POOR_CONTRASTS = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
function behind(element) {
  for (let e = element; e; e = e.parentElement) {
    const color = channels(getComputedStyle(e).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
}
const poor = new Set();
for (const element of document.body.querySelectorAll('*')) {
  const hasText = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!hasText || element.tagName === 'SCRIPT' || !element.checkVisibility()) continue;
  const pair = [channels(getComputedStyle(element).color), behind(element)].map(luminance);
  const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (contrast < 4.5) poor.add(`${element.tagName}.${element.className} ${contrast.toFixed(2)}`);
}
return [...poor]"""


def test_limits_are_shown(page):
    assert "Requests a minute: 5,000 of 5,000 left" in page.text("main")


def test_a_filter_finds_by_name_and_stays_in_the_address(pair, page):
    report(pair.ratelimitd, "needle-provider", "needle-model", retry_after_ms=600000)
    page.type("#filter", "NEEDLE-m")

    wait_until(lambda: page.texts("tbody th") == ["needle-provider", "needle-model"], "it is found")
    assert "1 target of 1 provider match “NEEDLE-m”" in page.text("#notice")
    assert page.run("return location.search") == "?q=NEEDLE-m"
    page.open(page.run("return location.href"))
    assert page.texts("tbody th") == ["needle-provider", "needle-model"]
    page.type("#filter", "-nowhere")
    wait_until(lambda: "No provider or model has this" in page.text("main"), "nothing is found")


def test_a_lost_connection_is_told_and_comes_back(programs, browser):
    ratelimitd = programs.ratelimitd()
    browser.open(url(ratelimitd))
    wait_until(lambda: browser.text("#live") == "● Live", "the page is live")
    assert "Nothing to show." in browser.text("main")
    ratelimitd.kill()
    wait_until(lambda: browser.text("#live").startswith("Not live: "), "the page says so")

    again = programs.ratelimitd({"admin": ratelimitd.addresses["admin"]}, "ratelimitd-again")
    report(again, "openai", "gpt-4o", retry_after_ms=600000)

    wait_until(lambda: state_of(browser, "openai") == "Backing off", "the page is live again")
    assert browser.text("#live") == "● Live"


def test_a_tab_that_nobody_looks_at_gives_up_its_place(page):
    look = """Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});
        document.dispatchEvent(new Event('visibilitychange'))"""
    page.run("const later = setTimeout; window.setTimeout = (f, ms) => later(f, ms / 1000)")
    page.run(look, True)
    wait_until(lambda: page.text("#live") == "Paused", "it pauses")
    page.run(look, False)
    wait_until(lambda: page.text("#live") == "● Live", "it goes on")


def test_watchers_are_bounded_and_never_in_the_way(programs):
    admin = programs.ratelimitd().addresses["admin"]
    with contextlib.ExitStack() as streams:
        for _ in range(MAX_WATCHERS):
            stream = http_client.open_stream(admin, "/status/events", method="GET")
            streams.enter_context(stream)
            stream.read_until(b"}\n\n")
        refused = http_client.get(admin, "/status/events")
        assert refused.status == 503
        assert "too many are watching" in refused.text()
        for path in ("/metrics", "/healthz", "/readyz", "/status"):
            assert http_client.get(admin, path).status == 200


def test_without_javascript_it_is_a_table(pair):
    report(pair.ratelimitd, "plain-provider", "plain-model", retry_after_ms=600000)
    reply = http_client.get(pair.ratelimitd.addresses["admin"], "/status?q=plain")

    assert reply.header("content-type") == "text/html; charset=utf-8"
    assert reply.header("cache-control") == "no-store"
    assert reply.header("x-content-type-options") == "nosniff"
    assert reply.header("content-security-policy").startswith("default-src 'none'; ")
    table = reply.text().split("<table")[1].split("</table>")[0]
    assert '<th scope="row">plain-model</th>' in table
    assert "Backing off" in table
    assert "asked again in" in table
    assert '<noscript><meta http-equiv="refresh"' in reply.text()
