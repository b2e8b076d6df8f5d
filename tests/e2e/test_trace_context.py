"""W3C trace context: from the client to the provider, and into the log."""

import pytest

from support.clients import CLIENTS
from support.programs import wait_until
from support.stack import Pair

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
PAIR = {"routes": {"openai": 20, "azure": 1, "anthropic": 2, "gemini": 1}}


def logged_trace_id(gateway, reply):
    """The trace_id of the access-log line of a reply."""
    request_id = reply.header("x-request-id")

    def line():
        lines = (line for line in gateway.log_lines() if line.get("request_id") == request_id)
        return next(lines, None)

    return wait_until(line, "the request is logged")["trace_id"]


@pytest.mark.parametrize("dialect", ["openai", "azure", "anthropic", "gemini"])
def test_every_provider_sees_it_as_it_is(pair, dialect):
    route = pair.route_of(dialect)
    headers = {"traceparent": PARENT, "tracestate": "rojo=1,congo=t61rcWkgMzE"}

    reply = pair.gateway.chat(route.model, headers)

    assert reply.status == 200
    [attempt] = route.first.attempts()
    assert attempt.header("traceparent") == PARENT
    assert attempt.header("tracestate") == "rojo=1,congo=t61rcWkgMzE"
    assert logged_trace_id(pair.gateway, reply) == TRACE_ID


def test_relayed_messages_carry_it_too(pair):
    route = pair.route_of("anthropic")
    client = CLIENTS["messages"]

    pair.gateway.post(client.path, client.request(route.model), {"traceparent": PARENT})

    assert route.first.attempts()[0].header("traceparent") == PARENT


def test_every_attempt_carries_it(pair):
    route = pair.duo()
    route.first.next(status=500)

    assert pair.gateway.chat(route.model, {"traceparent": PARENT}).status == 200
    for provider in route.providers:
        assert provider.attempts()[0].header("traceparent") == PARENT


@pytest.mark.parametrize(
    "parent",
    [PARENT[:-1], PARENT.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01", "x", "0" * 8000],
)
def test_what_is_malformed_goes_nowhere(pair, parent):
    route = pair.solo()

    reply = pair.gateway.chat(route.model, {"traceparent": parent, "tracestate": "a=1"})

    assert reply.status == 200
    [attempt] = route.first.attempts()
    assert attempt.header("traceparent") is None
    assert attempt.header("tracestate") is None
    assert logged_trace_id(pair.gateway, reply) == ""


def test_none_is_made_up(pair):
    route = pair.solo()

    reply = pair.gateway.chat(route.model)

    assert route.first.attempts()[0].header("traceparent") is None
    assert logged_trace_id(pair.gateway, reply) == ""


def test_a_long_state_is_cut_between_two_members(pair):
    route = pair.solo()
    members = [f"vendor{i}={'x' * 100}" for i in range(30)]

    pair.gateway.chat(route.model, {"traceparent": PARENT, "tracestate": ",".join(members)})

    state = route.first.attempts()[0].header("tracestate")
    assert state == ",".join(members[:4])


def test_failures_are_logged_with_it(pair):
    reply = pair.gateway.chat("no-such-model", {"traceparent": PARENT})

    assert reply.status == 404
    assert logged_trace_id(pair.gateway, reply) == TRACE_ID


def test_a_provider_can_be_kept_from_it(programs):
    pair = Pair(programs, routes={"openai": 1}, gateways=0)
    pair.config["providers"][0]["trace_context"] = False
    gateway = programs.gateway(pair.config)
    route = pair.duo()
    route.first.next(status=500)

    assert gateway.chat(route.model, {"traceparent": PARENT}).status == 200
    assert route.first.attempts()[0].header("traceparent") is None
    assert route.second.attempts()[0].header("traceparent") == PARENT
