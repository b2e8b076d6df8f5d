"""Anthropic's SDK for Node and the Vercel AI SDK, unmodified, in front of providers of every
dialect; sdk_jobs.mjs drives them, several calls in one run."""

import json
import pathlib
import subprocess

import pytest

from support.stack import PROVIDER_DIALECTS

PAIR = {"routes": 60, "doubles": False}
HERE = pathlib.Path(__file__).parent
HEALTHY = "Honest answers travel"
CALLS = [
    {"id": "call_1", "name": "weather", "arguments": {"city": "Oslo"}},
    {"id": "call_2", "name": "weather", "arguments": {"city": "Bern"}},
]
DIALECTS = pytest.mark.parametrize("dialect", PROVIDER_DIALECTS)
APIS = ("chat", "responses")


@pytest.fixture
def run(gateway, node_modules):
    """Runs {(call, route): ...} at once and gives what each of them returned or raised."""

    def run(jobs, max_retries=0):
        order = {
            "origin": gateway.url(""),
            "jobs": [
                {"call": call, "model": route.model, "maxRetries": max_retries}
                for call, route in jobs
            ],
        }
        done = subprocess.run(
            ["node", HERE / "sdk_jobs.mjs", json.dumps(order)],
            timeout=120,
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(done.stdout)

    return run


def assert_called_and_answered(route):
    """The provider called two tools, and was told what each of them found."""
    assert route.first.attempt_count() == 2
    answered = route.first.attempts()[1].body
    assert answered.index("rain in Oslo") < answered.index("rain in Bern")


@DIALECTS
def test_anthropic_answers_and_calls_tools(pair, run, dialect):
    jobs = [
        (call, pair.route_of(dialect))
        for call in ("messages", "messagesStream", "messagesTools", "messagesToolsStream")
    ]
    for _, route in jobs[2:]:
        route.first.next(answer={"reasoning": ["Hm."], "text": ["Well."], "tool_calls": CALLS})

    outcomes = run(jobs)

    looped = {"called": ["Oslo", "Bern"], "stop": "tool_use", "text": HEALTHY}
    assert outcomes == [{"ok": HEALTHY}, {"ok": HEALTHY}, {"ok": looped}, {"ok": looped}]
    for _, route in jobs[2:]:
        assert_called_and_answered(route)


ANTHROPIC_ERRORS = {
    429: "RateLimitError",
    503: "ServiceUnavailableError",
    401: "InternalServerError",  # the gateway's own key: not the caller's fault
    400: "BadRequestError",
    404: "NotFoundError",
}


@DIALECTS
def test_anthropic_raises_its_own_error(pair, run, dialect):
    jobs = [
        (call, pair.route_of(dialect))
        for _ in ANTHROPIC_ERRORS
        for call in ("messages", "messagesStream")
    ]
    statuses = [status for status in ANTHROPIC_ERRORS for _ in range(2)]
    for (_, route), status in zip(jobs, statuses):
        route.first.always(status=status)

    for outcome, status in zip(run(jobs), statuses):
        raised = outcome["raised"]
        assert raised["name"] == ANTHROPIC_ERRORS[status]
        assert raised["requestID"]
        assert raised["body"]["error"]["candor"]["upstream_status"] == status
        assert raised["type"] == raised["body"]["error"]["type"]


@DIALECTS
def test_anthropic_honours_the_wait_and_succeeds_on_its_retry(pair, run, dialect):
    jobs = [(call, pair.route_of(dialect)) for call in ("messages", "messagesStream")]
    for _, route in jobs:
        route.first.next(status=429, headers={"retry-after": "1"})

    assert run(jobs, max_retries=2) == [{"ok": HEALTHY}] * 2

    for _, route in jobs:
        first, second = route.first.attempts()
        assert second.started_at - first.started_at >= 0.99


@DIALECTS
def test_anthropic_raises_when_a_stream_breaks(pair, run, dialect):
    route = pair.route_of(dialect)
    route.first.next(answer={"text": ["So"] * 30}, cut_after_events=20, end="close")

    (outcome,) = run([("messagesStream", route)])

    assert outcome["raised"]["body"]["error"]["candor"]["kind"] == "upstream_interrupted"


@DIALECTS
def test_vercel_answers_and_calls_tools(pair, run, dialect):
    verbs = ("generate", "stream", "generateTools", "streamTools")
    jobs = [(f"{api}.{verb}", pair.route_of(dialect)) for api in APIS for verb in verbs]
    looped = [route for call, route in jobs if call.endswith("Tools")]
    for route in looped:
        route.first.next(answer={"tool_calls": CALLS})

    assert run(jobs) == [{"ok": {"text": HEALTHY, "finish": "stop"}}] * len(jobs)

    for route in looped:
        assert_called_and_answered(route)


# What the provider says first; the AI SDK has to ask again and then gets its answer.
RETRIED = {
    "a rate limit": {"status": 429, "headers": {"retry-after": "1"}},
    "overload": {"status": 503, "headers": {"retry-after": "1"}},
    "an error under a success": {"body": {"error": {"message": "It died.", "code": 500}}},
}


@DIALECTS
def test_vercel_retries_after_a_translated_failure_and_succeeds(pair, run, dialect):
    jobs = []
    for failure in RETRIED.values():
        for call in [f"{api}.{verb}" for api in APIS for verb in ("generate", "stream")]:
            jobs.append((call, pair.route_of(dialect)))
            jobs[-1][1].first.next(**failure)

    assert run(jobs, max_retries=2) == [{"ok": {"text": HEALTHY, "finish": "stop"}}] * len(jobs)

    for _, route in jobs:
        first, second = route.first.attempts()
        assert second.started_at - first.started_at >= 0.99


@DIALECTS
def test_vercel_is_told_that_a_stream_broke(pair, run, dialect):
    jobs = [(f"{api}.stream", pair.route_of(dialect)) for api in APIS]
    for _, route in jobs:
        route.first.next(answer={"text": ["So"] * 30}, cut_after_events=20, end="close")

    for outcome in run(jobs):
        assert "raised" in outcome, "a stream that broke looked complete"
        words = "The provider closed the connection within its answer."
        assert outcome["raised"]["message"] == words


@DIALECTS
def test_vercel_sees_status_words_and_whether_to_retry(pair, run, dialect):
    jobs, statuses = [], []
    for status in (429, 503, 400):
        for call in [f"{api}.{verb}" for api in APIS for verb in ("generate", "stream")]:
            jobs.append((call, pair.route_of(dialect)))
            jobs[-1][1].first.always(status=status)
            statuses.append(status)

    for outcome, status in zip(run(jobs), statuses):
        raised = outcome["raised"]
        assert (raised["status"], raised["isRetryable"]) == (status, status != 400)
        assert f"told to answer {status}" in raised["message"]
