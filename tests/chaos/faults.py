"""What can become of one attempt at a provider: how it is acted out in each dialect, and what a
gateway may truthfully make of it.

A request says itself what each provider shall do with it (Order), in its prompt, which every
translation keeps. So no order of events decides what happens to which request, and a run is the
same as far as real processes can be.
"""

import dataclasses
import gzip
import json
import re
import typing

from conformance import words

OK = frozenset({"ok"})
# A busy machine may be late whatever was ordered; counted apart.
LATE = frozenset({"upstream_timeout", "upstream_unreachable"})
CUT = frozenset({"upstream_interrupted", "upstream_malformed"})
MALFORMED = frozenset({"upstream_malformed"})
TIMEOUT = frozenset({"upstream_timeout"})
UNREACHABLE = frozenset({"upstream_unreachable"})

KIND_OF_MEANING = {
    "rate_limited": "rate_limited",
    "quota_exhausted": "quota_exhausted",
    "overloaded": "overloaded",
    "upstream_error": "upstream_error",
    "timeout": "upstream_timeout",
    "auth": "provider_auth",
    "permission": "provider_auth",
    "model_not_found": "model_not_found",
    "invalid_request": "invalid_request",
    "unprocessable": "unprocessable",
    "too_large": "too_large",
    "context_length": "context_length",
    "content_filter": "content_filter",
}
IN_STREAM_MEANINGS = (
    "rate_limited", "quota_exhausted", "overloaded", "upstream_error", "context_length"
)
PIECES = 8  # of text in an answer; no cut comes behind it
HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclasses.dataclass(frozen=True)
class Fault:
    """`act` gives the behaviour (fake_provider/behaviour.py) for a call; None: the dialect cannot say
    so, and it is healthy instead. `kinds` are what the attempt may be called."""

    act: typing.Callable
    kinds: frozenset
    weight: int = 1
    only: str = "any"  # or "stream", "whole": the requests it makes sense for


def _constant(**behaviour):
    return lambda _: behaviour


def _said(means, **more):
    def act(call):
        if not words.can_say(call.dialect, means):
            return None
        status = words.status_of(call.dialect, means)
        return {"status": status, "body": words.error_body(call.dialect, means), **more}

    return act


def _said_in_stream(means, after):
    def act(call):
        if not words.can_say(call.dialect, means):
            return None
        # Anthropic and Gemini tell some meanings by their words alone, so the usual ones are sent.
        events = words.stream_error(call, means)
        return {"cut_after_events": after, "last_events": events, "end": "finish"}

    return act


def _zipped(_):
    body = gzip.compress(b'{"id": "c1", "choices": []}').decode("latin-1")
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n"
    return {"raw": f"{head}content-length: {len(body)}\r\n\r\n{body}"}


def _two_lengths(_):
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    return {"raw": f"{head}content-length: 3\r\ncontent-length: 2\r\n\r\n{{}}"}


HEALTHY = {
    "ok": Fault(_constant(), OK, 60),
    "slow": Fault(_constant(delay_ms=100, chunk_delay_ms=40), OK, 25),
    "dripping": Fault(_constant(drip_bytes=11), OK, 4),
    "closing": Fault(_constant(afterwards="close"), OK, 4),
    "hanging up": Fault(_constant(afterwards="hang_up"), OK, 4),
    "dropping the next": Fault(_constant(afterwards="drop_next"), OK, 4),
    "ending with the connection": Fault(_constant(framing="close"), OK, 4),
}

FAILING = {
    **{
        f"says {means}": Fault(_said(means, headers={"retry-after": "1"}), frozenset({kind}))
        for means, kind in KIND_OF_MEANING.items()
    },
    **{
        f"200 says {means}": Fault(_said(means, status=200), frozenset({means}))
        for means in ("rate_limited", "overloaded", "upstream_error")
    },
    "close": Fault(_constant(before_headers="close"), UNREACHABLE, 2),
    "reset": Fault(_constant(before_headers="reset"), UNREACHABLE, 2),
    "stall": Fault(_constant(before_headers="stall"), TIMEOUT),
    "stall after the head": Fault(_constant(cut_after_bytes=0, end="stall"), TIMEOUT),
    "no HTTP": Fault(_constant(raw="220 smtp.example ESMTP\r\n\r\n"), MALFORMED),
    "endless head": Fault(_constant(header_padding=200_000), MALFORMED),
    "502 as HTML": Fault(
        _constant(status=502, body=HTML, content_type="text/html"), frozenset({"upstream_error"})
    ),
    "529 as text": Fault(
        _constant(status=529, body="Overloaded", content_type="text/plain"),
        frozenset({"overloaded"}),
    ),
    "429 without a body": Fault(_constant(status=429, body=""), frozenset({"rate_limited"})),
    "524": Fault(_constant(status=524, body="error code: 524"), TIMEOUT),
    "599": Fault(_constant(status=599, body=""), frozenset({"upstream_error"})),
    "a redirect": Fault(
        _constant(status=302, headers={"location": "http://127.0.0.1:1/"}, body=""), MALFORMED
    ),
    "204": Fault(_constant(raw="HTTP/1.1 204 No Content\r\n\r\n"), MALFORMED),
    "zipped": Fault(_zipped, CUT),
    "two lengths": Fault(_two_lengths, CUT),
    "200 as HTML": Fault(_constant(body=HTML, content_type="text/html"), MALFORMED),
    "200 without a body": Fault(_constant(body=""), MALFORMED),
    "200 of another shape": Fault(_constant(body={"hello": "world"}), MALFORMED),
    "200 with null": Fault(_constant(body="null"), MALFORMED),
    "half an answer": Fault(_constant(body='{"id": "c1", "choices": [{'), MALFORMED),
    **{
        f"{end} within the answer": Fault(_constant(cut_after_bytes=40, end=end), CUT)
        for end in ("close", "reset")
    },
    "stall within the answer": Fault(_constant(cut_after_bytes=40, end="stall"), TIMEOUT),
    "finish within the answer": Fault(
        _constant(cut_after_bytes=40, end="finish", framing="chunked"), CUT
    ),
    **{
        f"{end} after {number} events": Fault(
            _constant(cut_after_events=number, end=end),
            TIMEOUT if end == "stall" else CUT,
            only="stream",
        )
        for end in ("close", "reset", "finish", "garbage", "stall")
        for number in (0, 2, 5)
    },
    **{
        f"says {means} after {number} events": Fault(
            _said_in_stream(means, number), frozenset({KIND_OF_MEANING[means]}), only="stream"
        )
        for means in IN_STREAM_MEANINGS
        for number in (0, 2, 5)
    },
    "no JSON in the stream": Fault(
        _constant(cut_after_events=4, last_events=["data: {]"], end="finish"), CUT, only="stream"
    ),
}
FAULTS = {**HEALTHY, **FAILING}


def text_of(number):
    """What the model says to request `number`, in pieces: nobody else's answer looks like it."""
    return [f"n{number}-{i} " for i in range(PIECES)]


@dataclasses.dataclass(frozen=True)
class Order:
    """What a request wants to be done with it."""

    number: int
    faults: dict  # provider -> name of a fault

    def prompt(self):
        told = ", ".join(f"{provider}={name}" for provider, name in self.faults.items())
        return f"[[{self.number}: {told}]]"


def read_order(text):
    """The Order in the text of a request, or None."""
    found = re.search(r"\[\[(\d+): (.*?)\]\]", text)
    if not found:
        return None
    pairs = [pair.split("=", 1) for pair in found[2].split(", ")]
    return Order(int(found[1]), dict(pairs))


def behaviour_for(call):
    """What the fake provider does with `call`, as JSON: what was ordered, else a healthy answer."""
    order = read_order(json.dumps(call.body))
    if order is None:
        return {}
    act = FAULTS[order.faults.get(call.provider, "ok")].act
    return {"answer": {"text": text_of(order.number)}, **(act(call) or {})}


def kinds_of(order, provider, call):
    """What an attempt of this request at `provider` may be called, when `call` is how it is asked."""
    name = order.faults.get(provider, "ok")
    fault = FAULTS[name]
    return OK if fault.act(call) is None else fault.kinds


def status_of(order, provider, call):
    """The status that `provider` answers this request with; None when it does not speak HTTP."""
    behaviour = FAULTS[order.faults.get(provider, "ok")].act(call) or {}
    if "raw" not in behaviour:
        return behaviour.get("status", 200)
    found = re.match(r"HTTP/1.1 (\d+)", behaviour["raw"])
    return int(found[1]) if found else None
