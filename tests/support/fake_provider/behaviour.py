"""What the provider does with one request, and the scripts that decide which behaviour is next."""

import dataclasses
import json
import typing

from answer import Answer, parse_answer


class ScriptError(ValueError):
    """A script that makes no sense; the message says where and why."""


BEFORE_HEADERS = ("answer", "close", "reset", "stall")
ENDS = ("finish", "close", "reset", "stall", "garbage")
FRAMINGS = ("auto", "length", "chunked", "close")
AFTERWARDS = ("keep", "close", "hang_up", "drop_next")


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """One answer. The default is a healthy one in the dialect that the path speaks.

    What is said:
      status          HTTP status. Above 399 without a body: the dialect's own error.
      headers         mapping or list of pairs, sent beside (or instead of) the usual ones
      body            text, or any JSON value; replaces the dialect's answer
      events          list of event-stream blocks, sent as text/event-stream
      line_end        of event-stream blocks: "\\n", or "\\r\\n" as Google sends
      answer          what the model says, written down in the dialect's way: see answer.py
      content_type    replaces the usual one; "" sends none
      chunks          how many pieces of text a healthy answer has
      chunk_bytes     size of each piece; 0: a short word
      header_padding  adds a header of so many bytes
      raw             bytes (latin-1 text) sent instead of any HTTP, then the connection is closed
    When:
      delay_ms        before the status line
      body_delay_ms   between the headers and the body
      chunk_delay_ms  before every event or piece of the body
      drip_bytes      cuts the body into pieces of so many bytes
      hold            waits before the status line until it is released on the control port
      hold_after_events
                      waits there in the body
    How it goes wrong:
      before_headers  "answer", or "close", "reset", "stall" instead of it
      cut_after_events, cut_after_bytes
                      stops there in the body and goes on with `end`
      last_events     list of event-stream blocks, sent before `end`
      end             "finish" (well framed, but early), "close", "reset", "stall", "garbage" (bytes
                      that break the framing)
      framing         "auto", "length", "chunked", "close" (the body ends with the connection)
      afterwards      "keep" the connection, announce and "close" it, "hang_up" without having
                      announced it, or "drop_next": close it without a byte when the next request
                      arrives on it
    """

    status: int = 200
    headers: typing.Any = ()
    body: typing.Any = None
    events: typing.Optional[list] = None
    line_end: str = "\n"
    answer: typing.Optional[Answer] = None
    content_type: typing.Optional[str] = None
    chunks: int = 3
    chunk_bytes: int = 0
    header_padding: int = 0
    raw: typing.Optional[str] = None
    delay_ms: int = 0
    body_delay_ms: int = 0
    chunk_delay_ms: int = 0
    drip_bytes: int = 0
    hold: bool = False
    hold_after_events: typing.Optional[int] = None
    before_headers: str = "answer"
    cut_after_events: typing.Optional[int] = None
    cut_after_bytes: typing.Optional[int] = None
    last_events: tuple = ()
    end: str = "close"
    framing: str = "auto"
    afterwards: str = "keep"

    def holds(self):
        return self.hold or self.hold_after_events is not None

    def header_pairs(self):
        pairs = self.headers.items() if isinstance(self.headers, dict) else self.headers
        return [(str(name), str(value)) for name, value in pairs]


HEALTHY = Behaviour()


def parse_behaviour(value):
    """A JSON object to a Behaviour. Raises ScriptError."""
    if not isinstance(value, dict):
        raise ScriptError(f"a behaviour is an object, not {json.dumps(value)[:80]}")
    known = {field.name for field in dataclasses.fields(Behaviour)}
    if unknown := set(value) - known:
        raise ScriptError(f"unknown key {sorted(unknown)[0]!r}; known are {sorted(known)}")
    value = dict(value)
    if value.get("answer") is not None:
        value["answer"] = _parse_answer(value["answer"])
    behaviour = Behaviour(**value)
    _check_choice("before_headers", behaviour.before_headers, BEFORE_HEADERS)
    _check_choice("end", behaviour.end, ENDS)
    _check_choice("framing", behaviour.framing, FRAMINGS)
    _check_choice("afterwards", behaviour.afterwards, AFTERWARDS)
    try:
        behaviour.header_pairs()
    except (TypeError, ValueError):
        raise ScriptError("headers are an object or a list of pairs") from None
    return behaviour


def _parse_answer(value):
    try:
        return parse_answer(value)
    except (TypeError, ValueError) as error:
        raise ScriptError(str(error)) from None


def _check_choice(key, value, choices):
    if value not in choices:
        raise ScriptError(f"{key} is one of {choices}, not {value!r}")


@dataclasses.dataclass
class Rule:
    """Which requests a script is for, and what it has left to say."""

    provider: typing.Optional[str]
    path: typing.Optional[str]  # matches the end of the path
    model: typing.Optional[str]
    key: typing.Optional[str]  # the credential that the request bears
    queue: list  # behaviours, each used once
    cycle: list  # behaviours in turn, for ever
    turn: int = 0

    def matches(self, provider, path, model, key):
        return (
            self.provider in (None, provider)
            and self.model in (None, model)
            and self.key in (None, key)
            and (self.path is None or path.endswith(self.path))
        )

    def next_in_cycle(self):
        behaviour = self.cycle[self.turn % len(self.cycle)]
        self.turn += 1
        return behaviour


class Scripts:
    """All rules. A queue of any matching rule goes first, in the order they were added; then the
    newest matching rule with a cycle; then health."""

    def __init__(self):
        self._rules = []

    def add(self, value):
        """`value`: {"provider", "path", "model", "key" (each optional), "queue": [...], "cycle": [...]}.
        Each entry is a behaviour, which may say "times": N. Raises ScriptError."""
        if not isinstance(value, dict):
            raise ScriptError("a rule is an object")
        known = {"provider", "path", "model", "key", "queue", "cycle", "comment"}
        if unknown := set(value) - known:
            raise ScriptError(f"unknown key {sorted(unknown)[0]!r} in a rule")
        rule = Rule(
            provider=value.get("provider"),
            path=value.get("path"),
            model=value.get("model"),
            key=value.get("key"),
            queue=_parse_entries(value.get("queue", [])),
            cycle=_parse_entries(value.get("cycle", [])),
        )
        if not rule.queue and not rule.cycle:
            raise ScriptError('a rule needs a "queue" or a "cycle"')
        self._rules.append(rule)

    def clear(self):
        self._rules.clear()

    def next(self, call, path, key=None):
        matching = [r for r in self._rules if r.matches(call.provider, path, call.model, key)]
        for rule in matching:
            if rule.queue:
                behaviour = rule.queue.pop(0)
                if not rule.queue and not rule.cycle:
                    self._rules.remove(rule)
                return behaviour
        for rule in reversed(matching):
            if rule.cycle:
                return rule.next_in_cycle()
        return HEALTHY


def _parse_entries(entries):
    if not isinstance(entries, list):
        raise ScriptError("queue and cycle are lists")
    behaviours = []
    for entry in entries:
        entry = dict(entry) if isinstance(entry, dict) else entry
        times = entry.pop("times", 1) if isinstance(entry, dict) else 1
        if not isinstance(times, int) or not 1 <= times <= 1_000_000:
            raise ScriptError(f"times is 1 to 1000000, not {times!r}")
        behaviours += [parse_behaviour(entry)] * times
    return behaviours
