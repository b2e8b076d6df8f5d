"""x-candor-timeout-ms: the client says how long its request may take, all attempts together.

All other timeouts are far longer than these tests wait, so one that ends has seen the client's."""

import pytest

from support.clients import CLIENTS
from support.http_client import RawConnection
from support.programs import raw_chat
from support.stack import Pair, ask

PATIENT = {"connect": "60s", "first_byte": "60s", "idle": "60s", "total": "60s"}
PAIR = {
    "timeouts": PATIENT,
    "routes": {"openai": 30, "anthropic": 3},
    "gateway_config": {"limits": {"body_timeout": "60s"}},
}
SHORT = {"x-candor-timeout-ms": "300"}
# Where something has to happen before it.
LESS_SHORT = {"x-candor-timeout-ms": "2000"}
LONG = {"x-candor-timeout-ms": "60000"}
DONE = "[DONE]"


def assert_deadline_exceeded(reply):
    assert (reply.status, reply.kind()) == (504, "deadline_exceeded"), reply
    assert reply.header("x-should-retry") == "false"
    assert reply.header("retry-after") is None
    assert reply.error()["candor"]["fault"] == "caller"
    assert "x-candor-timeout-ms" in reply.error()["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_takes_longer_is_given_up(pair, stream):
    route = pair.solo()
    route.first.next(delay_ms=60_000)

    reply = pair.gateway.chat(route.model, LESS_SHORT, stream=stream)

    assert_deadline_exceeded(reply)
    assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:deadline_exceeded:")
    assert route.first.wait_for_outcome("client_gone"), "the provider need not go on"


@pytest.mark.parametrize(
    "behaviour",
    [
        {"cut_after_events": 1, "end": "stall"},
        {"events": [": ping"] * 1000, "chunk_delay_ms": 20},
        {"cut_after_bytes": 0, "end": "stall"},
    ],
)
def test_before_output_a_stream_fails_with_a_status(pair, behaviour):
    route = pair.solo()
    route.first.next(**behaviour)

    assert_deadline_exceeded(pair.gateway.chat(route.model, SHORT, stream=True))


def test_an_answer_that_drips_is_given_up(pair):
    route = pair.solo()
    route.first.next(drip_bytes=1, chunk_delay_ms=20)

    assert_deadline_exceeded(pair.gateway.chat(route.model, SHORT))


@pytest.mark.parametrize("client", ["chat_completions", "responses", "messages"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_after_output_the_stream_tells_it_and_never_ends_as_if_complete(pair, client, dialect):
    client = CLIENTS[client]
    route = pair.route_of(dialect)
    route.first.next(chunks=1_000_000, chunk_delay_ms=20)
    body = client.request(route.model, stream=True)

    reply = pair.gateway.post(client.path, body, LESS_SHORT)

    assert reply.status == 200
    error = client.failure_in_stream(reply)
    assert (error["candor"]["kind"], error["status"]) == ("deadline_exceeded", 504)


def test_no_other_target_is_begun_when_the_time_is_up(pair):
    route = pair.duo()
    route.first.next(delay_ms=60_000)

    assert_deadline_exceeded(pair.gateway.chat(route.model, SHORT))
    assert route.second.attempt_count() == 0


def test_what_a_provider_has_said_is_a_better_truth(pair):
    route = pair.duo()
    route.first.next(status=429, headers={"retry-after": "7"})
    route.second.next(delay_ms=60_000)

    reply = pair.gateway.chat(route.model, LESS_SHORT)

    assert (reply.status, reply.kind()) == (429, "rate_limited"), reply
    assert reply.wait_ms() >= 7000
    trail = [attempt.rsplit(":", 1)[0] for attempt in reply.header("x-candor-attempts").split(", ")]
    assert trail == [f"{route.first.name}:rate_limited", f"{route.second.name}:deadline_exceeded"]


def test_deadlines_of_callers_never_count_against_a_provider(pair):
    route = pair.solo()
    route.first.always(delay_ms=60_000)

    for _ in range(8):
        reply = pair.gateway.chat(route.model, {"x-candor-timeout-ms": "120"})
        assert_deadline_exceeded(reply)

    route.first.always(status=200)
    assert pair.gateway.chat(route.model).status == 200
    health = pair.ratelimitd.provider(route.first.name)["targets"][0]["health"]
    assert health["state"] == "HEALTH_STATE_HEALTHY"
    assert int(health.get("window", {}).get("failures", 0)) == 0


def test_whoever_is_in_time_is_served(pair):
    route = pair.duo()
    route.first.next(status=500, delay_ms=50)
    route.second.next(chunks=5, chunk_delay_ms=20)

    assert pair.gateway.chat(route.model, LONG, stream=True).events()[-1] == DONE


@pytest.mark.parametrize("value", ["0", "-5", "1.5", "soon", "", "1s"])
def test_a_bad_value_is_refused_by_name(pair, value):
    route = pair.solo()

    reply = pair.gateway.chat(route.model, {"x-candor-timeout-ms": value})

    assert (reply.status, reply.kind()) == (400, "bad_request"), reply
    assert "x-candor-timeout-ms" in reply.error()["message"]
    assert route.first.attempt_count() == 0


def test_an_absurdly_long_time_is_as_good_as_none(pair):
    route = pair.solo()

    assert pair.gateway.chat(route.model, {"x-candor-timeout-ms": "9" * 40}).status == 200


def test_the_time_of_an_sdk_for_one_try_is_no_deadline(pair):
    """The SDKs send it with each try, and retry themselves when it has passed."""
    route = pair.solo()
    route.first.next(delay_ms=100)

    assert pair.gateway.chat(route.model, {"x-stainless-timeout": "0.01"}).status == 200


def test_the_body_has_to_come_in_time(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n"
            b"x-candor-timeout-ms: 200\r\n\r\n{"
        )
        assert_deadline_exceeded(connection.read_reply())


def test_waiting_for_a_connection_counts(programs):
    pair = Pair(programs, routes={"openai": 1}, doubles=False, timeouts=PATIENT)
    pair.config["providers"][0]["max_connections"] = 1
    gateway = programs.gateway(pair.config, "narrow")
    route = pair.solo()
    route.first.next(chunks=1_000_000, chunk_delay_ms=20)
    with gateway.open_chat_stream(route.model):
        assert_deadline_exceeded(gateway.chat(route.model, SHORT))
    assert route.first.attempt_count() == 1


def test_waiting_for_ratelimitd_counts(programs):
    pair = Pair(programs, routes={"openai": 1}, doubles=False, gateways=0)
    config = {**pair.config, "ratelimitd": ask(pair.ratelimitd.address, deadline="10s")}
    gateway = programs.gateway(config)
    route = pair.solo()
    assert gateway.chat(route.model).status == 200
    pair.ratelimitd.pause()
    try:
        with RawConnection(gateway.address) as connection:
            connection.socket.settimeout(9)  # Later the gateway would give ratelimitd up itself.
            connection.send(raw_chat(route.model, "x-candor-timeout-ms: 300"))
            reply = connection.read_reply()
    finally:
        pair.ratelimitd.resume()

    assert_deadline_exceeded(reply)
    assert reply.header("x-candor-degraded") is None, "nothing is known of ratelimitd yet"
    assert route.first.attempt_count() == 1
