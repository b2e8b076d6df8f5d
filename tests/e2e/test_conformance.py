"""The conformance suite (tests/conformance) on Candor itself, and on a toy gateway that lies: a
suite that cannot fail proves nothing."""

import dataclasses

import pytest

from conformance import cases, grade, liar
from conformance.adapters import candor
from conformance.provider import ProviderThread
from conformance.raw_client import Reply
from conformance.runner import Runner
from conformance.target import CannotGrade, Gateway, Setup

CASES = {case.id: case for case in cases.load()}


@pytest.fixture(scope="module")
def provider():
    playing = ProviderThread()
    yield playing
    playing.stop()


@pytest.fixture(scope="module")
def runner_of(provider, tmp_path_factory):
    """A Runner for each pair of APIs, in front of a Candor of its own."""
    runners = {}
    gateways = []

    def get(pair):
        if pair not in runners:
            directory = tmp_path_factory.mktemp("-".join(pair))
            trials = cases.trials_of(*pair)
            gateways.append(candor.start(Setup(provider.address, pair[1], trials, directory)))
            runners[pair] = Runner(gateways[-1], provider)
        return runners[pair]

    yield get
    for gateway in gateways:
        gateway.stop()


TRIALS = [trial for pair in candor.PAIRS for trial in cases.trials_of(*pair)]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.id)
def test_candor_keeps_the_promises(runner_of, trial):
    result = runner_of((trial.client_api, trial.provider_api)).run(trial)

    assert result.verdict is not None, "not graded"
    broken = {promise: why for promise, why in result.verdict.reasons.items() if why}
    assert not broken, f"{trial.case.about}: {broken}; seen: {result.verdict.seen}"


def trial_of(case_id, mode="whole", client_api="chat", provider_api="openai"):
    return cases.Trial(CASES[case_id], client_api, provider_api, mode)


@dataclasses.dataclass
class Lie:
    """What a toy gateway does, and the promises that each trial must then show broken."""

    tell: object
    broken: dict  # case id or (case id, mode) -> promises


LIES = [
    Lie(
        liar.pass_on,
        {
            "answer": [],
            ("answer", "stream"): [],
            "error-upstream-error": [],
            "timing-seconds": [],
            "error-auth": ["P2"],
            "200-overloaded": ["P1", "P2"],
            "error-rate-limited": ["P3"],
            "timing-text-seconds": ["P3"],
            "timing-absurd-negative": ["P3"],
            ("stream-first-overloaded", "stream"): ["P2"],
            ("stream-after-output-overloaded", "stream"): [],
            ("stream-cut", "stream"): [],
            ("stream-after-output-then-end", "stream"): ["P1"],
            ("stream-ends-early", "stream"): ["P1"],
        },
    ),
    Lie(
        liar.call_everything_success,
        {
            "answer": [],
            "error-upstream-error": ["P1", "P2"],
            "error-context-length": ["P1", "P2"],
            "timing-seconds": ["P1", "P2", "P3"],
            "200-empty": ["P1", "P2"],
            ("stream-cut", "stream"): ["P1"],
            ("stream-after-output-overloaded", "stream"): ["P1"],
            ("stream-first-overloaded", "stream"): ["P1", "P2"],
        },
    ),
    Lie(
        liar.blame_the_caller,
        {
            "answer": [],
            "error-invalid-request": [],
            "error-upstream-error": ["P2"],
            "error-rate-limited": ["P2"],
            "timing-seconds": ["P2", "P3"],
            "error-auth": ["P2"],
        },
    ),
    Lie(
        liar.hurry,
        {
            "answer": [],
            "timing-seconds": ["P3"],
            "error-rate-limited": ["P3"],
            "error-context-length": ["P3"],
            "error-quota-exhausted": ["P3"],
        },
    ),
    Lie(liar.say_html, {"answer": [], "error-upstream-error": ["P2"], "timing-seconds": ["P2"]}),
    Lie(
        liar.fall_silent,
        {
            ("answer", "stream"): [],
            ("stream-cut", "stream"): ["P1"],
            ("stream-after-output-overloaded", "stream"): ["P1"],
        },
    ),
]
ROWS = [
    pytest.param(
        lie.tell,
        *((row, "whole") if isinstance(row, str) else row),
        promises,
        id=f"{lie.tell.__name__}-{row if isinstance(row, str) else '-'.join(row)}",
    )
    for lie in LIES
    for row, promises in lie.broken.items()
]


@pytest.mark.parametrize("tell, case_id, mode, promises", ROWS)
def test_a_lie_fails_in_the_right_rows(provider, tell, case_id, mode, promises):
    gateway = liar.Liar(provider.address, tell)
    try:
        verdict = Runner(gateway, provider).run(trial_of(case_id, mode)).verdict
    finally:
        gateway.stop()

    broken = [promise for promise, why in verdict.reasons.items() if why]
    assert broken == promises, (verdict.reasons, verdict.seen)


def test_a_wait_that_does_not_come_true_is_no_truth(provider):
    gateway = liar.Liar(provider.address, liar.Forgetful())
    try:
        verdict = Runner(gateway, provider).run(trial_of("timing-comes-true")).verdict
    finally:
        gateway.stop()

    assert verdict.reasons["P3"] == "after the told wait of 1 s the next attempt got 429"


@pytest.mark.parametrize("case_id", ["stream-cut", "stream-reset", "stream-garbled"])
def test_a_connection_that_breaks_tells_the_failure(provider, case_id):
    """Without any gateway between: what the provider does is seen as it is."""
    runner = Runner(Gateway(f"http://{provider.address}"), provider)

    verdict = runner.run(trial_of(case_id, "stream")).verdict

    assert verdict.is_kept(), verdict
    assert verdict.seen.endswith("cut")


def sse(*events):
    return "".join(f"{event}\n\n" for event in events)


DELTA = 'data: {"choices":[{"index":0,"delta":{"content":"Honest"}}]}'
ERROR = '{"error":{"message":"no","type":"server_error","param":null,"code":null}}'
BLAME = '{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}'
MESSAGES_DELTA = (
    'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Honest"}}'
)
MESSAGES_ERROR = '{"type":"error","error":{"type":"api_error","message":"no"}}'
RESPONSES_DELTA = (
    'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hon"}'
)
COMPLETED = 'event: response.completed\ndata: {"type":"response.completed","response":{}}'
TEN = "Fri, 02 Jan 2026 10:00:00 GMT"
JSON, STREAM = "application/json", "text/event-stream"


@pytest.mark.parametrize(
    "client_api, case_id, status, kind, headers, body, broken",
    [
        # An answer and a status tell the truth, or not.
        ("chat", "error-upstream-error", 503, JSON, {"retry-after": "1"}, ERROR, []),
        ("chat", "error-upstream-error", 503, JSON, {}, ERROR, ["P3"]),
        ("chat", "error-upstream-error", 429, JSON, {"retry-after": "1"}, ERROR, ["P2"]),
        ("chat", "error-upstream-error", 500, JSON, {"x-should-retry": "false"}, ERROR, ["P2"]),
        ("chat", "error-upstream-error", 500, JSON, {}, '{"error":"no"}', ["P2"]),
        ("messages", "error-upstream-error", 500, JSON, {}, '{"error":{"message":"no"}}', ["P2"]),
        ("messages", "error-upstream-error", 500, JSON, {}, MESSAGES_ERROR, []),
        # What a wait may look like.
        ("chat", "timing-seconds", 429, JSON, {"retry-after": "17"}, ERROR, []),
        ("chat", "timing-seconds", 429, JSON, {"retry-after": "5"}, ERROR, ["P3"]),
        ("chat", "timing-seconds", 429, JSON, {"retry-after": "90"}, ERROR, ["P3"]),
        ("chat", "timing-seconds", 429, JSON, {"retry-after": "17.5"}, ERROR, ["P3"]),
        ("chat", "timing-seconds", 429, JSON, {"retry-after-ms": "17000"}, ERROR, ["P3"]),
        (
            "chat", "timing-seconds", 429, JSON,
            {"retry-after": "17", "retry-after-ms": "17"}, ERROR, ["P3"],
        ),
        (
            "chat", "timing-seconds", 429, JSON,
            {"date": TEN, "retry-after": "Fri, 02 Jan 2026 10:00:18 GMT"}, ERROR, [],
        ),
        (
            "chat", "timing-seconds", 429, JSON,
            {"date": TEN, "retry-after": "Fri, 02 Jan 2026 09:00:00 GMT"}, ERROR, ["P3"],
        ),
        ("chat", "timing-day", 429, JSON, {"x-should-retry": "false"}, ERROR, []),
        ("chat", "timing-day", 429, JSON, {"retry-after": "86400"}, ERROR, []),
        ("chat", "timing-day", 429, JSON, {"retry-after": "20"}, ERROR, ["P3"]),
        ("chat", "timing-day", 429, JSON, {}, ERROR, ["P3"]),
        ("chat", "timing-absurd-negative", 429, JSON, {"retry-after": "2"}, ERROR, []),
        ("chat", "timing-absurd-year-9999", 429, JSON, {"retry-after": "99999"}, ERROR, ["P3"]),
        ("chat", "error-auth", 502, JSON, {"retry-after": "2"}, ERROR, ["P3"]),
        # How a stream may end.
        ("chat", "stream-cut", 200, STREAM, {}, sse(DELTA, "data: " + ERROR), []),
        ("chat", "stream-cut", 200, STREAM, {}, sse(DELTA, "data: " + BLAME), ["P2"]),
        ("chat", "stream-cut", 200, STREAM, {}, sse(DELTA, "data: [DONE]"), ["P1"]),
        ("chat", "stream-cut", 200, STREAM, {}, sse(DELTA, "event: error\ndata: {}"), ["P1"]),
        ("chat", "stream-cut", 502, JSON, {}, ERROR, []),
        ("messages", "stream-cut", 200, STREAM, {}, sse(MESSAGES_DELTA), ["P1"]),
        (
            "messages", "stream-cut", 200, STREAM, {},
            sse(MESSAGES_DELTA, "event: error\ndata: " + MESSAGES_ERROR), [],
        ),
        (
            "messages", "stream-cut", 200, STREAM, {},
            sse(MESSAGES_DELTA, "data: " + MESSAGES_ERROR), ["P1"],
        ),
        (
            "messages", "stream-cut", 200, STREAM, {},
            sse(MESSAGES_DELTA, 'event: message_stop\ndata: {"type":"message_stop"}'), ["P1"],
        ),
        ("responses", "stream-cut", 200, STREAM, {}, sse(RESPONSES_DELTA, COMPLETED), ["P1"]),
        (
            "responses", "stream-cut", 200, STREAM, {},
            sse(RESPONSES_DELTA, 'event: error\ndata: {"type":"error","message":"no"}'), [],
        ),
    ],
)  # fmt: skip
def test_a_reply_is_judged(client_api, case_id, status, kind, headers, body, broken):
    reply = Reply()
    reply.status, reply.body = status, body.encode()
    reply.header_pairs = [("content-type", kind), *headers.items()]
    mode = "stream" if kind == STREAM else "whole"

    verdict = grade.judge(trial_of(case_id, mode, client_api), reply)

    assert [p for p, why in verdict.reasons.items() if why] == broken, verdict


def test_a_target_that_is_not_there_cannot_be_graded(provider):
    with pytest.raises(CannotGrade, match="Is the gateway running"):
        Runner(Gateway("http://127.0.0.1:1"), provider).check_reachable("chat")


def test_a_target_that_asks_another_provider_cannot_be_graded(provider):
    elsewhere = ProviderThread()
    gateway = liar.Liar(elsewhere.address, liar.pass_on)
    try:
        with pytest.raises(CannotGrade, match="without asking the suite's provider"):
            Runner(gateway, provider).check_reachable("chat")
    finally:
        gateway.stop()
        elsewhere.stop()


def test_every_case_is_judged_somewhere():
    """A misspelt key would make a case apply nowhere."""
    pairs = [(client, on) for client in cases.CLIENT_APIS for on in cases.PROVIDER_APIS]
    used = {trial.case.id for pair in pairs for trial in cases.trials_of(*pair)}
    assert used == set(CASES)
    assert all(case.means in {"answered", *grade.MEANINGS} for case in CASES.values())
