"""Judges one reply by the three promises. Pure.

P1  A 2xx means the model answered: no failure ever looks like an answer, whole or streamed.
P2  The status tells whose fault it was and whether to retry: 4xx only for the caller's own
    mistakes (and 429), 5xx for everything else; and clients of this API can read the error.
P3  A retryable 429 or 503 carries a truthful Retry-After; what is permanent is not marked
    retryable.

A promise that says nothing about a trial is not graded there. Gateways may do what the promises
leave open: a failed stream may end in an error event or in a broken connection, 529 may stay or
become 503, a rate limit may be a 503, and so on.
"""

import dataclasses
import email.utils
import math
import typing

from . import client_apis

PROMISES = ("P1", "P2", "P3")
ANY_5XX = range(500, 600)
CLOCK_SLACK_S = 1  # whole seconds and the time between two looks at a clock
LONGEST_SANE_WAIT_S = 900  # where the provider states no wait that counts
LONG_WAIT_S = 60  # longer ones need not be told to the second: nobody sits them out in a request


@dataclasses.dataclass(frozen=True)
class Meaning:
    """`statuses`: which HTTP statuses tell it truly. `is_retryable`: the same request can succeed
    later. `is_callers`: the caller must change something."""

    statuses: typing.Any
    is_retryable: bool = True
    is_callers: bool = False


def _callers(*statuses):
    return Meaning(statuses, is_retryable=False, is_callers=True)


MEANINGS = {
    "rate_limited": Meaning({429, 503, 529}),
    "overloaded": Meaning({429, *ANY_5XX}),
    "upstream_error": Meaning(ANY_5XX),
    "timeout": Meaning(ANY_5XX),
    "malformed": Meaning(ANY_5XX),
    "interrupted": Meaning(ANY_5XX),
    "quota_exhausted": Meaning({429, *ANY_5XX}, is_retryable=False),
    "auth": Meaning(ANY_5XX, is_retryable=False),
    "permission": Meaning(ANY_5XX, is_retryable=False),
    "model_not_found": Meaning({400, 404, *ANY_5XX}, is_retryable=False),
    "never_fits": Meaning({400, 413, 429}, is_retryable=False),
    "invalid_request": _callers(400, 422),
    "unprocessable": _callers(400, 422),
    "too_large": _callers(400, 413),
    "context_length": _callers(400, 413, 422),
    "content_filter": _callers(400, 403, 422),
    "callers_mistake": _callers(400, 404, 405, 415, 422),
}

# Types by which the dialects blame the caller; false when the provider broke in mid-stream.
BLAMES_CALLER = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
}


@dataclasses.dataclass
class Verdict:
    """`reasons`: promise -> why it is broken, for every graded promise; "" means kept."""

    reasons: dict
    seen: str

    def is_kept(self):
        return not any(self.reasons.values())


def judge(trial, reply):
    """The Verdict on what the gateway answered to the trial."""
    heard = _hear(trial, reply)
    seen = _describe(reply, heard)
    if trial.case.means == "answered":
        return Verdict({"P1": _healthy(trial, reply, heard)}, seen)
    meaning = MEANINGS[trial.case.means]
    if reply.status is None:
        reason = "no answer came: " + (reply.trouble or "the deadline passed")
        return Verdict({"P1": reason, "P2": reason}, seen)
    reasons = {
        "P1": _no_success(trial, reply, heard),
        "P2": _whose_fault(trial, meaning, reply, heard),
        "P3": _when(trial, meaning, reply),
    }
    return Verdict({k: v for k, v in reasons.items() if v is not None}, seen)


def _hear(trial, reply):
    api = client_apis.APIS[trial.client_api]
    if reply.is_event_stream():
        return api.hear_stream(reply.events())
    return api.hear_whole(reply.json())


def _is_2xx(reply):
    return reply.status is not None and 200 <= reply.status < 300


# P1


def _healthy(trial, reply, heard):
    if not _is_2xx(reply):
        return "the model answered, and the client did not get a 2xx"
    said = trial.case.said()
    words = "".join(said.get("text", []))
    if heard.output != words:
        return f"the model said {words!r}, and {heard.output!r} arrived"
    if heard.calls != [call["name"] for call in said.get("tool_calls", [])]:
        return f"the model called a tool, and {heard.calls or 'no call'} arrived"
    finish = said.get("finish", "tool_calls" if "tool_calls" in said else "stop")
    for mark in client_apis.APIS[trial.client_api].marks_of(finish, trial.is_stream):
        if not mark & set(heard.marks):
            return f"the answer ended with {finish}, and the client does not see {min(mark)}"
    if heard.errors or heard.unread:
        return "the model answered, and the client was told of an error"
    return ""


def _no_success(trial, reply, heard):
    if not _is_2xx(reply):
        return ""
    if not reply.is_event_stream():
        if heard.errors or heard.unread:
            return "a 2xx around an error: SDKs take it for an answer"
        return "a 2xx although nothing was generated"
    if reply.is_late:
        return "the stream neither went on nor ended before the deadline"
    if lies := [mark for mark in heard.marks if not _is_providers_own(mark, trial.case)]:
        return f"the stream failed, and still says {', '.join(lies)}"
    if not heard.errors and not reply.is_cut:
        if heard.unread:
            return "the stream tells the failure in a form that clients of this API do not read"
        return "the stream ends orderly and tells no failure: it passes for the whole answer"
    return ""


def _is_providers_own(mark, case):
    """The provider finished its answer, and only then failed."""
    steps = case.steps or []
    before_error = steps[: steps.index("error")] if "error" in steps else steps
    return mark.startswith(("finish_reason", "stop_reason")) and "finish" in before_error


# P2


def _whose_fault(trial, meaning, reply, heard):
    if _is_2xx(reply):
        return _fault_in_2xx(trial, meaning, reply, heard)
    allowed = trial.case.statuses or meaning.statuses
    if reply.status not in allowed:
        return f"{reply.status} {_misleads(reply.status, meaning)}"
    if not heard.errors:
        return "the body is not an error that clients of this API can read"
    is_short = (trial.case.wait_s or 0) <= LONG_WAIT_S
    if meaning.is_retryable and is_short and reply.header("x-should-retry") == "false":
        return "x-should-retry: false, although a retry can help"
    return ""


def _fault_in_2xx(trial, meaning, reply, heard):
    if not (reply.is_event_stream() and trial.case.failed_after_output()):
        return f"{reply.status} before anything was generated: no status tells of the failure"
    blaming = {error.get("type") for error in heard.errors} & BLAMES_CALLER
    if blaming and not meaning.is_callers:
        return f"the error in the stream blames the caller: {blaming.pop()}"
    return ""


def _misleads(status, meaning):
    if meaning.is_callers:
        return "does not say that the caller must change something"
    if 400 <= status < 500 and status != 429:
        return "blames the caller for a failure of the provider's or the operator's"
    if status == 429:
        return "speaks of a rate limit, and there was none"
    return "does not say what happened"


# P3


def _when(trial, meaning, reply):
    """None where the promise says nothing."""
    case = trial.case
    if not meaning.is_retryable:
        return _not_marked_retryable(reply)
    if case.failed_after_output():
        return None
    is_about_load = case.means in ("rate_limited", "overloaded")
    if reply.status not in (429, 503) and not (is_about_load and case.wait_s is not None):
        return None
    waits, trouble = _told_waits(reply)
    if trouble:
        return trouble
    if case.wait_s is not None and case.wait_s > LONG_WAIT_S:
        return _long_wait(waits, reply, case.wait_s)
    stated = f"the provider said {case.wait_s:g} s" if case.wait_s is not None else ""
    if "retry-after" not in waits:
        return "no Retry-After" + (f", though {stated}" if stated else "")
    for name, wait_s in waits.items():
        if case.wait_s is None and wait_s > LONGEST_SANE_WAIT_S:
            return f"{name} says {wait_s:g} s, and nothing believable said so"
        if case.wait_s is not None and wait_s < case.wait_s - CLOCK_SLACK_S:
            return f"{name} says {wait_s:g} s: too early, {stated}"
        if case.wait_s is not None and wait_s > 2 * case.wait_s + 5:
            return f"{name} says {wait_s:g} s, {stated}"
    return ""


def _not_marked_retryable(reply):
    if _is_2xx(reply):
        return None
    if reply.header("x-should-retry") == "true":
        return "x-should-retry: true, and no retry can help"
    for name in ("retry-after", "retry-after-ms"):
        if reply.header(name):
            return f"{name}: {reply.header(name)}, and no retry can help"
    return ""


def _long_wait(waits, reply, stated_s):
    if reply.header("x-should-retry") == "false":
        return ""
    if not waits:
        return f"no word about time, though the provider said {stated_s:g} s"
    if min(waits.values()) < LONG_WAIT_S:
        return f"a wait of {min(waits.values()):g} s, though the provider said {stated_s:g} s"
    return ""


def longest_told_wait_s(reply):
    """Of a reply that keeps the third promise."""
    return max(_told_waits(reply)[0].values())


def _told_waits(reply):
    """The waits in seconds by header, and what is wrong with them ("" when nothing is)."""
    waits = {}
    if (text := reply.header("retry-after")) is not None:
        waits["retry-after"] = _retry_after_s(text, reply)
    if (text := reply.header("retry-after-ms")) is not None:
        waits["retry-after-ms"] = _number(text, 0.001)
    for name, wait_s in waits.items():
        if wait_s is None:
            return {}, f"{name}: {reply.header(name)!r} is neither a number nor a date"
        if wait_s <= 0:
            return {}, f"{name}: {reply.header(name)!r} is not in the future"
    return waits, ""


def _retry_after_s(text, reply):
    if text.isascii() and text.isdigit():
        return _number(text, 1)
    moment = _moment(text)
    return moment and moment - (_moment(reply.header("date") or "") or reply.received_at)


def _moment(text):
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _number(text, unit):
    try:
        value = float(text) * unit
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# What is shown


def _describe(reply, heard):
    if reply.status is None:
        return "nothing"
    parts = [str(reply.status)]
    if reply.is_event_stream():
        parts.append("stream")
        parts += ["output"] if heard.output or heard.calls else []
        parts += heard.marks[-2:]
    elif heard.is_answer and _is_2xx(reply):
        parts.append("an answer" if heard.output or heard.calls else "an empty answer")
    if heard.errors:
        parts.append(f"error {_name(heard.errors[0])}")
    elif heard.unread or not (reply.is_event_stream() or heard.is_answer):
        parts.append("no readable error" if reply.body else "no body")
    parts += [
        f"{name} {reply.header(name)}"
        for name in ("retry-after", "retry-after-ms", "x-should-retry")
        if reply.header(name) is not None
    ]
    parts += ["cut"] if reply.is_cut else []
    parts += ["late"] if reply.is_late else []
    return ", ".join(parts)


def _name(error):
    return error.get("code") or error.get("type") or "without a code"
