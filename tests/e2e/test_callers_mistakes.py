"""What the caller did wrong leaves every breaker, backoff and block untouched."""

import pytest

from support.http_client import RawConnection
from support.programs import raw_chat, wait_until

# A single failure would open this breaker, so one that is counted wrongly shows. No timeout ends an
# attempt before the client's leaving does.
PAIR = {
    "ratelimitd_config": {"defaults": {"breaker": {"consecutive": 1, "min_calls": 1}}},
    "timeouts": {"first_byte": "60s", "idle": "60s", "total": "60s"},
}

ASKED_BEFORE = 3

MISTAKES = {
    "a 400": {"status": 400},
    "a 404 for the model": {"status": 404},
    "a 413": {"status": 413, "body": {"error": {"message": "too large", "type": "x"}}},
    "a 422": {"status": 422, "body": {"error": {"message": "no", "type": "x"}}},
    "too long a context": {
        "status": 400,
        "body": {
            "error": {
                "message": "maximum context length",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
    },
    "a content filter": {
        "status": 400,
        "body": {
            "error": {
                "message": "filtered",
                "type": None,
                "param": "prompt",
                "code": "content_filter",
            }
        },
    },
}


def assert_untouched(pair, route):
    """ratelimitd sees the target as healthy, and the next request is simply served."""
    provider = pair.ratelimitd.provider(route.first.name)
    for health in [provider["health"], *(t["health"] for t in provider["targets"])]:
        assert health["state"] == "HEALTH_STATE_HEALTHY", provider
        assert "failures" not in health.get("window", {}), provider
    reply = pair.gateway.chat(route.model)
    assert reply.status == 200
    assert "refused" not in reply.header("x-candor-attempts")


def test_the_breaker_of_this_module_opens_at_one_failure(pair):
    route = pair.solo()
    route.first.next(status=500)
    assert pair.gateway.chat(route.model).status == 500
    assert pair.gateway.chat(route.model).kind() == "no_provider_available"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_refused_request(pair, mistake, stream):
    route = pair.solo()
    route.first.next(times=ASKED_BEFORE, **mistake)
    for _ in range(ASKED_BEFORE):
        assert pair.gateway.chat(route.model, stream=stream).status == mistake["status"]

    assert_untouched(pair, route)


@pytest.mark.parametrize("stream", [False, True])
def test_a_cancelled_request(pair, stream):
    route = pair.solo()
    route.first.next(times=ASKED_BEFORE, delay_ms=60_000)
    for number in range(ASKED_BEFORE):
        _leave_after_sending(pair, route, stream)
        wait_until(lambda: _count(route, "client_gone") == number + 1, "the upstream is cancelled")

    assert_untouched(pair, route)


def test_a_cancelled_stream(pair):
    route = pair.solo()
    route.first.next(times=ASKED_BEFORE, chunks=100_000, chunk_delay_ms=20)
    for number in range(ASKED_BEFORE):
        with pair.gateway.open_chat_stream(route.model) as stream:
            stream.read_until(b"Honest")
        wait_until(lambda: _count(route, "client_gone") == number + 1, "the upstream is cancelled")

    assert_untouched(pair, route)


def test_an_unknown_model_asks_nobody(pair):
    route = pair.solo()
    assert pair.gateway.chat(route.model).status == 200
    for _ in range(ASKED_BEFORE):
        reply = pair.gateway.chat("no-such-model")
        assert (reply.status, reply.kind()) == (404, "unknown_model")
        assert reply.error()["code"] == "model_not_found"

    assert_untouched(pair, route)
    assert route.first.attempt_count() == 2


def _leave_after_sending(pair, route, stream):
    already = route.first.attempt_count()
    with RawConnection(pair.gateway.address) as connection:
        connection.send(raw_chat(route.model, stream=stream))
        route.first.wait_for_attempts(already + 1)


def _count(route, outcome):
    return sum(attempt.outcome == outcome for attempt in route.first.attempts())
