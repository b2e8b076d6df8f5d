"""Whether what a client got is an answer that is complete and true, or an error that the table of
failures allows. Raises Untrue; otherwise says by what it is to be counted."""

import dataclasses
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
WITHOUT_ATTEMPT = {"no_provider_available", "gateway_overloaded"}


class Untrue(Exception):
    """What a client was told and must not be."""


@dataclasses.dataclass
class Row:
    fault: str
    status_text: str
    is_retry: bool

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
        r"^\| (\w+) \| (\w+) \| (.+?) \| (yes|no) \| [\w ]+ \| \w+ \|$", README.read_text(), re.M
    )
    return {kind: Row(fault, status, retry == "yes") for kind, fault, status, retry in rows
            if status[0].isdigit()}  # fmt: skip


TABLE = read_table()


def demand(is_true, what):
    if not is_true:
        raise Untrue(what)


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
        if planned.conduct in ("broken", "unknown"):
            want = {"broken": "bad_request", "unknown": "unknown_model"}[planned.conduct]
            demand(reply.kind() == want, f"{reply.kind()} for a mistake that is {want}")
            return "told", want
        self._check_error(error, reply.status)
        self._check_headers(reply, error)
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
        trail = reply.header("x-candor-attempts").split(", ")
        for entry in trail[:-1]:
            name, kind = entry.split(":")[:2]
            if not kind.startswith("refused("):
                self._check_attempt(name, kind)
        demand(trail[-1].startswith(f"{provider}:ok:"), f"the trail is {trail}")

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

    def _check_attempt(self, provider, kind):
        demand(provider in self._planned.order.faults, f"{provider} is not of the route")
        ordered = self._kinds(provider)
        if kind in ordered:
            return
        demand(kind in faults.LATE, f"{kind} of {provider}, which was told to be {ordered}")
        self.is_late = True

    def _check_error(self, error, status):
        candor = error["candor"]
        kind = candor["kind"]
        demand(self._planned.conduct in ("patient", "leaves"), f"{kind} for a broken request")
        demand(kind in TABLE, f"{kind} is not in the table")
        demand(candor["fault"] == TABLE[kind].fault, f"{kind} is no fault of {candor['fault']}")
        for attempt in candor["attempts"]:
            self._check_attempt(attempt["provider"], attempt["kind"])
        kinds = [attempt["kind"] for attempt in candor["attempts"]]
        if not kinds:
            demand(kind in WITHOUT_ATTEMPT, f"{kind} without an attempt")
            return
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
        demand("key-of-" not in reply.text() + json.dumps(reply.header_pairs), "a key is shown")
