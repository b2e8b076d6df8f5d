"""Whether what a client got is an answer that is complete and true, or an error that the table of
failures allows. Raises Untrue; otherwise says by what it is to be counted."""

import dataclasses
import itertools
import json
import pathlib
import re
import sys

from support.clients import CLIENTS

from . import faults
from .plan import PROVIDERS, ROUTES

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support" / "fake_provider"))

import dialects  # noqa: E402

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
FOLDED = {529: 503, 522: 504, 524: 504}
# The README's order: of several failures the first of these is told.
HOPE = [
    {"rate_limited"},
    {"overloaded"},
    {"upstream_timeout"},
    {"upstream_error"},
    {"upstream_unreachable"},
    {"upstream_malformed", "upstream_interrupted"},
    {"quota_exhausted"},
    {"provider_auth"},
    {"model_not_found"},
]
CALLERS = {"invalid_request", "unprocessable", "too_large", "context_length", "content_filter"}
MISTAKES = {"broken": "bad_request", "unknown": "unknown_model"}  # by the request's conduct
# A provider that was not told to be late is late after a timeout of world.py, of a second or more.
SHORTEST_TIMEOUT_MS = 900
# ratelimitd's five seconds while it is open what the probe of a block will meet, and its spread over
# a second; nothing else lasts longer by world.py or for the providers.
LONGEST_WAIT_MS = 6500


class Untrue(Exception):
    """What a client was told and must not be."""


@dataclasses.dataclass
class Row:
    fault: str
    status_text: str
    is_retry: bool
    falls_back: bool

    def statuses(self, upstream_status):
        """The statuses that a client may see when the provider answered `upstream_status`; an error
        under a 200 may mean 500."""
        allowed = {int(self.status_text.split()[0].strip(","))}
        sent = 500 if upstream_status == 200 else upstream_status or 0
        sent = FOLDED.get(sent, sent)
        if sent >= 500 and sent not in (500, 502, 503, 504):
            sent = 502
        rest = self.status_text.partition("provider's ")[2]
        if "5xx" in rest and sent >= 500 or "429" in rest and sent == 429:
            allowed.add(sent)
        if re.search(r"\b4xx", rest.split(";")[0]) and 400 <= sent < 500:
            allowed.add(sent)
        if str(sent) in rest:
            allowed.add(sent)
        if "; 502" in rest:
            allowed.add(502)
        return allowed


def read_table():
    rows = re.findall(
        r"^\| (\w+) \| (\w+) \| (.+?) \| (yes|no) \| ([\w ]+) \| \w+ \|$",
        README.read_text(),
        re.M,
    )
    return {
        kind: Row(fault, status, retry == "yes", fallback != "no")
        for kind, fault, status, retry, fallback in rows
        if status[0].isdigit()
    }


TABLE = read_table()


def demand(is_true, what):
    if not is_true:
        raise Untrue(what)


@dataclasses.dataclass
class Entry:
    """Of x-candor-attempts."""

    provider: str
    kind: str  # or "refused(why)"
    duration_ms: int

    def is_refusal(self):
        return self.kind.startswith("refused(")


def read_trail(reply):
    text = reply.header("x-candor-attempts") or ""
    entries = re.findall(r"([\w-]+):([\w()]+):(\d+)ms(?:, |$)", text)
    return [Entry(provider, kind, int(duration)) for provider, kind, duration in entries]


class Judge:
    """Of one request."""

    def __init__(self, planned):
        self._planned = planned
        self._client = CLIENTS[planned.client]
        self.is_late = False  # a provider was late though nothing like it was ordered

    def judge(self, reply):
        """(sort, kind): sort is "answered" (and kind "ok"), "told" or "told in the stream"."""
        planned = self._planned
        demand(not reply.is_cut, "the answer was cut")
        demand("key-of-" not in reply.text() + json.dumps(reply.header_pairs), "a key is shown")
        for header in ("x-request-id", "x-candor-provider", "x-candor-latency-ms"):
            demand(reply.header(header), f"no {header}")
        if reply.status == 200:
            seen = self._client.read(reply)
            if seen.is_whole:
                self._check_success(reply, seen)
                return "answered", "ok"
            error = self._client.failure_in_stream(reply)
            demand("".join(self._texts()).startswith(seen.text), f"untrue text {seen.text!r}")
            demand(planned.stream, "an error in a stream that nobody asked for")
            self._check_error(error, error["status"])
            return "told in the stream", error["candor"]["kind"]
        error = self._client.failure(reply)
        demand(reply.kind() == error["candor"]["kind"], "header and body name different kinds")
        self._check_error(error, reply.status)
        self._check_headers(reply, error)
        self._check_trail(reply, error)
        return "told", reply.kind()

    def _texts(self):
        return faults.text_of(self._planned.number)

    def _check_success(self, reply, seen):
        planned = self._planned
        demand(planned.conduct == "patient", f"a success for a request that is {planned.conduct}")
        demand(seen.text.strip() == "".join(self._texts()).strip(), f"untrue text {seen.text!r}")
        provider = reply.header("x-candor-provider")
        demand(provider in ROUTES[planned.route], f"{provider} is not of the route")
        demand("ok" in self._kinds(provider), f"success of {provider}, which failed")
        demand(reply.header("x-candor-error") is None, "a success with x-candor-error")
        trail = read_trail(reply)
        demand(trail and (trail[-1].provider, trail[-1].kind) == (provider, "ok"), f"{trail}")
        self._check_order(trail)
        for entry in trail[:-1]:
            if not entry.is_refusal():
                self._check_attempt(entry.provider, entry.kind, entry.duration_ms)

    def _kinds(self, provider):
        return faults.kinds_of(self._planned.order, provider, self._call(provider))

    def _call(self, provider):
        dialect = PROVIDERS[provider]
        client, stream = self._planned.client, self._planned.stream
        if dialect in ("anthropic", "gemini"):
            api = {"anthropic": "messages", "gemini": "generate"}[dialect]
        elif dialect == "compatible":
            dialect, api = "openai", "completions" if client == "completions" else "chat"
        else:
            api = {"completions": "completions", "responses": "responses"}.get(client, "chat")
        return dialects.Call(dialect, api, provider, "m", stream, {})

    def _check_order(self, trail):
        """Each target of the route in its turn, so that none was passed over without a word."""
        names = [name for name, _ in itertools.groupby(entry.provider for entry in trail)]
        route = ROUTES[self._planned.route]
        demand(names == route[: len(names)], f"{names} of the route {route}")
        return len(names) == len(route)

    def _check_trail(self, reply, error):
        """Of a failure before any output."""
        trail = read_trail(reply)
        kind, attempts = error["candor"]["kind"], error["candor"]["attempts"]
        if self._planned.conduct in MISTAKES:
            demand(not trail, f"a mistake was tried: {trail}")
            return
        is_complete = self._check_order(trail)
        tried = [entry for entry in trail if not entry.is_refusal()]
        told = [(attempt["provider"], attempt["kind"]) for attempt in attempts]
        demand([(e.provider, e.kind) for e in tried] == told, f"{trail} is not {told}")
        last = tried[-1].provider if tried else "none"
        demand(reply.header("x-candor-provider") == last, f"the last one was {last}")
        if TABLE[kind].falls_back or kind == "no_provider_available":
            demand(is_complete, f"{kind}; another target was neither tried nor refused: {trail}")

    def _check_attempt(self, provider, kind, duration_ms, upstream_status=None):
        demand(provider in self._planned.order.faults, f"{provider} is not of the route")
        ordered = self._kinds(provider)
        if kind in ordered:
            sent = faults.status_of(self._planned.order, provider, self._call(provider))
            demand(upstream_status in (None, sent), f"{provider} answered {sent}")
            return
        is_late = kind in faults.LATE and duration_ms >= SHORTEST_TIMEOUT_MS
        demand(is_late, f"{kind} of {provider}, which was told to be {ordered}")
        self.is_late = True

    def _check_error(self, error, status):
        candor = error["candor"]
        kind = candor["kind"]
        demand(kind in TABLE, f"{kind} is not in the table")
        demand(candor["fault"] == TABLE[kind].fault, f"{kind} is no fault of {candor['fault']}")
        wait = candor["retry_after_ms"]
        demand(wait is None or 0 < wait <= LONGEST_WAIT_MS, f"a wait of {wait} ms")
        for attempt in candor["attempts"]:
            self._check_attempt(**attempt)
        kinds = [attempt["kind"] for attempt in candor["attempts"]]
        if not kinds:
            want = MISTAKES.get(self._planned.conduct, "no_provider_available")
            demand(kind == want, f"{kind} without an attempt, not {want}")
            demand(status in TABLE[kind].statuses(None), f"{status} for {kind}")
            return
        demand(self._planned.conduct == "patient", f"{kind} for a broken request")
        demand(kind in kinds, f"{kind} was no attempt's: {kinds}")
        # After output only the attempt that had begun to answer can be told.
        if kind not in CALLERS and "status" not in error:
            best = next(rank for rank in HOPE if rank & set(kinds))
            demand(kind in best, f"{kind} is told of {kinds}")
        allowed = TABLE[kind].statuses(candor["upstream_status"])
        demand(status in allowed, f"{status} for {kind}, which may be {allowed}")

    def _check_headers(self, reply, error):
        candor = error["candor"]
        row = TABLE[candor["kind"]]
        should_retry = reply.header("x-should-retry") == "true"
        demand(should_retry == row.is_retry, f"x-should-retry: {should_retry}")
        wait = reply.header("retry-after")
        demand(wait is None or reply.wait_ms() > 0, f"retry-after: {wait}")
        if should_retry and reply.status in (429, 503):
            demand(wait is not None, f"no retry-after with {reply.status}")
            demand(candor["retry_after_ms"] == reply.wait_ms(), "two waits")
        if not should_retry:
            demand(wait is None, f"a wait for what is not worth a retry: {wait}")
        demand(candor["request_id"] == reply.header("x-request-id"), "two request ids")
        degraded = reply.header("x-candor-degraded")
        demand(degraded in (None, "ratelimitd_unreachable", "store_unreachable"), degraded)
