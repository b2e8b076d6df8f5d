"""What a healthy provider's model says, in no dialect: words, reasoning, tool calls, usage.

A behaviour's `answer` is such a value as JSON; each dialect's file writes it down in its own way.
"""

import dataclasses
import json
import typing

FINISHES = ("stop", "length", "tool_calls", "content_filter")
SIGNATURE = "ZmFrZS1zaWduYXR1cmU="  # opaque: clients give it back as it came


@dataclasses.dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    arguments: dict

    def arguments_text(self):
        return json.dumps(self.arguments, separators=(",", ":"))


@dataclasses.dataclass(frozen=True)
class Answer:
    """`text`, `reasoning` and `refusal` are pieces, one event of a stream each; `text` may be a
    generator, for streams without an end. Token counts are totals: input with what was cached,
    output with the reasoning; an `output_tokens` of None counts the pieces of text."""

    text: typing.Iterable = ()
    reasoning: tuple = ()
    refusal: str = ""
    tool_calls: tuple = ()  # of ToolCall
    finish: str = "stop"
    stop_sequence: typing.Optional[str] = None
    input_tokens: int = 7
    cached_tokens: int = 0
    output_tokens: typing.Optional[int] = None
    reasoning_tokens: int = 0

    def output_count(self, pieces):
        """Output tokens, once so many pieces of text were said."""
        return pieces if self.output_tokens is None else self.output_tokens

    def is_plain(self):
        """Whether there are only words."""
        return not (self.reasoning or self.refusal or self.tool_calls)


def parse_answer(value):
    """A JSON object with the keys of Answer. Raises ValueError."""
    known = {field.name for field in dataclasses.fields(Answer)}
    if not isinstance(value, dict) or set(value) - known:
        raise ValueError(f"an answer is an object with some of {sorted(known)}")
    value = dict(value)
    for key in ("text", "reasoning"):
        pieces = value.get(key, ())
        value[key] = (pieces,) if isinstance(pieces, str) else tuple(pieces)
    value["tool_calls"] = tuple(ToolCall(**call) for call in value.get("tool_calls", ()))
    if value["tool_calls"]:
        value.setdefault("finish", "tool_calls")
    if value.setdefault("finish", "stop") not in FINISHES:
        raise ValueError(f"finish is one of {FINISHES}, not {value['finish']!r}")
    return Answer(**value)


def halves(text):
    """Two pieces, so that readers have to put them together."""
    middle = len(text) // 2
    return [text[:middle], text[middle:]]


def data(value):
    return "data: " + json.dumps(value, separators=(",", ":"))


def named(name, value):
    return f"event: {name}\n" + data({"type": name, **value})
