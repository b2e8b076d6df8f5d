"""The suite's side of the provider: tests/support/fake_provider in a thread of this process, which
acts out one case at a time, in the dialect in which it is asked.
"""

import asyncio
import email.utils
import json
import math
import pathlib
import re
import sys
import threading
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support" / "fake_provider"))

import answer  # noqa: E402
import attempts  # noqa: E402
import behaviour  # noqa: E402
import dialects  # noqa: E402
import serve  # noqa: E402

from . import words  # noqa: E402
from .cases import DEFAULT_ANSWER  # noqa: E402

TEXTS = DEFAULT_ANSWER["text"]
# Long enough that a gateway reads the pieces of a stream one by one, as from a real model.
CHUNK_DELAY_MS = 5


class ProviderThread:
    """Listens from construction to `stop`. `case` is what the next requests are answered with; None
    is a healthy answer. `trouble` says what is wrong with the suite itself, if anything."""

    def __init__(self, host="127.0.0.1", port=0):
        """Raises OSError when the address cannot be taken."""
        self.case = None
        self.trouble = ""
        self.asked = attempts.Attempts()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(serve.Provider(self, self.asked).serve, host, port)
        )
        self.address = "%s:%d" % self._server.sockets[0].getsockname()[:2]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def next(self, asked, path, _key):
        """For serve.Provider: what to do with a request for this path."""
        call = dialects.locate(path, json.dumps({"model": asked.model}))
        try:
            return behaviour.parse_behaviour(render(self.case, call) if call.dialect else {})
        except Exception as error:
            self.trouble = f"case {self.case.id} as {call.dialect}'s {call.api}: {error!r}"
            raise

    def stop(self):
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _end(self):
        self._server.close()
        serving = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


def render(case, call):
    """The behaviour (fake_provider/behaviour.py) that acts `case` out towards `call`."""
    usual = {"line_end": _line_end(call), "answer": DEFAULT_ANSWER}
    if case is None:
        return usual
    usual["answer"] = case.said()
    usual["headers"] = _headers(case)
    if case.steps:
        return {**usual, **_stream(case, call)}
    if case.acts:
        return {**usual, **json.loads(fill_in_moments(json.dumps(case.acts)))}
    if case.means == "answered":
        return usual
    # What a gateway passes on although its caller sent nonsense, a provider refuses.
    means = "invalid_request" if case.means == "callers_mistake" else case.means
    body = words.error_body(call.dialect, means, case.message, case.details)
    status = case.status or words.status_of(call.dialect, means)
    return {**usual, "status": status, "body": body}


def _line_end(call):
    return "\r\n" if call.dialect == "gemini" else "\n"


def _headers(case):
    return [(name, fill_in_moments(value)) for name, value in case.headers]


def fill_in_moments(text):
    """{http+30}, {rfc3339+30}, {epoch+30}, {epoch_ms+30}: that moment, in seconds from now."""

    def moment(match):
        at = math.ceil(time.time()) + int(match[2])  # what is written in whole seconds is no earlier
        return {
            "http": email.utils.formatdate(at, usegmt=True),
            "rfc3339": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
            "epoch": str(int(at)),
            "epoch_ms": str(int(at * 1000)),
        }[match[1]]

    return re.sub(r"\{(http|rfc3339|epoch|epoch_ms)([+-]\d+)\}", moment, text)


class StreamParts:
    """A healthy stream of the dialect, cut into what comes before output, the output, what comes
    after it, and the dialect's mark of the end ([] where the dialect has none)."""

    def __init__(self, call):
        blocks = list(dialects.healthy_events(call, answer.Answer(TEXTS)))
        is_output = [any(json.dumps(text)[1:-1] in b for text in TEXTS) for b in blocks]
        if call.api == "responses":
            is_output = ["response.output_text.delta" in block for block in blocks]
        first = is_output.index(True)
        after = first + len(TEXTS)
        marks = 0 if call.api == "generate" else 1
        self.head = blocks[:first]
        self.output = blocks[first:after]
        self.finish = blocks[after : len(blocks) - marks]
        self.end = blocks[len(blocks) - marks :]


ENDINGS = {
    "stop": "finish",  # the body ends as HTTP wants it
    "cut": "close",  # the connection is closed inside the body
    "reset": "reset",
    "hang": "stall",
    "garble": "garbage",  # bytes that break the chunked framing
}


def _stream(case, call):
    parts = StreamParts(call)
    blocks, ending = [], None
    is_half = False
    for step in case.steps:
        if step in ENDINGS:
            ending = ENDINGS[step]
        elif step == "half":
            blocks.append(parts.output[-1])
            is_half = True
        elif step.startswith("error"):
            blocks += words.stream_error(
                call, case.means, case.message, form=step.partition(":")[2] or "usual"
            )
        elif step.startswith("say:"):
            blocks.append(step[4:])
        else:
            blocks += getattr(parts, step)
    acted = {"events": blocks, "chunk_delay_ms": CHUNK_DELAY_MS}
    if is_half:
        sizes = [len((block + "\n\n").replace("\n", _line_end(call)).encode()) for block in blocks]
        return {**acted, "cut_after_bytes": sum(sizes) - sizes[-1] // 2, "end": ending or "close"}
    if ending == "finish" or ending is None:
        return acted
    return {
        **acted,
        "events": [*blocks, ": never sent"],
        "cut_after_events": len(blocks),
        "end": ending,
    }
