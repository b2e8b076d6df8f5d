"""Translated streams from outside: bytes that come one by one, clients that leave, answers of which
the client could only be given half; and what relayed streams cost in tokens."""

import json

import pytest

from support import http_client
from support.clients import CLIENTS
from support.programs import wait_until

PAIR = {"routes": 8, "doubles": False}
# One pair for each client dialect and each dialect of a provider.
PAIRS = [
    ("chat_completions", "anthropic"),
    ("responses", "gemini"),
    ("messages", "compatible"),
]
ANSWER = {
    "text": ["One ", "\u00fc", " three."],
    "tool_calls": [{"id": "call_1", "name": "weather", "arguments": {"city": "K\u00f6ln"}}],
}


def chunk(finish=None, **delta):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return "data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [choice]})


def call(index, arguments, **more):
    return {"index": index, "function": {"arguments": arguments, **more}}


@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_a_stream_of_single_bytes_is_the_same_stream(pair, client_name, dialect):
    route = pair.route_of(dialect)
    route.first.next(answer=ANSWER)
    route.first.next(answer=ANSWER, drip_bytes=1)
    client = CLIENTS[client_name]

    at_once, by_bytes = (client.ask(pair.gateway, route.model, stream=True) for _ in range(2))

    seen = client.read(by_bytes)
    assert seen.is_whole
    assert seen.text == "One \u00fc three."
    assert [arguments for _, _, arguments in seen.tool_calls] == [{"city": "K\u00f6ln"}]
    assert len(by_bytes.events()) == len(at_once.events())


@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_a_client_that_leaves_closes_the_connection_to_the_provider(pair, client_name, dialect):
    route = pair.route_of(dialect)
    route.first.next(chunks=100_000, chunk_delay_ms=20)
    client = CLIENTS[client_name]
    request = client.request(route.model, stream=True)
    reported = cancelled_reports(pair)
    with http_client.open_stream(pair.gateway.address, client.path, request) as stream:
        stream.read_until(b"Honest")

    route.first.wait_for_outcome("client_gone")
    name = route.first.name
    counted = f'candor_gateway_attempts_total{{provider="{name}",result="client_cancelled"}}'
    wait_until(lambda: pair.gateway.metrics().get(counted) == 1, "the attempt counts as cancelled")
    wait_until(lambda: cancelled_reports(pair) == reported + 1, "ratelimitd is told")
    assert client.read(client.ask(pair.gateway, route.model, stream=True)).is_whole


def cancelled_reports(pair):
    return sum(
        value
        for name, value in pair.ratelimitd.metrics().items()
        if name.startswith("candor_ratelimitd_reports_total") and 'kind="cancelled"' in name
    )


def test_half_a_tool_call_never_ends_as_a_success(pair):
    route = pair.route_of("compatible")
    route.first.next(
        events=[
            chunk(content="Let me see."),
            chunk(tool_calls=[{"id": "a", **call(0, '{"city":', name="weather")}]),
            chunk(tool_calls=[{"id": "b", **call(1, '{"city":"Bern"}', name="weather")}]),
            chunk(finish="tool_calls"),
            "data: [DONE]",
        ]
    )
    client = CLIENTS["messages"]

    reply = client.ask(pair.gateway, route.model, stream=True)

    assert reply.status == 200
    assert b"message_stop" not in reply.body and b"message_delta" not in reply.body
    error = client.failure_in_stream(reply)
    assert error["candor"]["kind"] == "upstream_malformed"
    assert error["status"] == 502


FINISH = chunk(finish="stop")
USAGE = 'data: {"id":"c1","object":"chat.completion.chunk","choices":[],"usage":%s}' % json.dumps(
    {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
)
# Azure's first chunk has no choices either.
FILTER = 'data: {"id":"","object":"","choices":[],"prompt_filter_results":[]}'


@pytest.mark.parametrize(
    "options, is_shown",
    [
        ({}, False),
        ({"stream_options": None}, False),
        ({"stream_options": {}}, False),
        ({"stream_options": {"include_usage": False, "include_obfuscation": False}}, False),
        ({"stream_options": {"include_usage": True}}, True),
    ],
)
def test_a_relayed_streams_tokens_are_counted_though_its_client_does_not_ask(
    pair, options, is_shown
):
    route = pair.azure()
    blocks = [FILTER, chunk(role="assistant"), chunk(content="Hi"), FINISH, USAGE, "data: [DONE]"]
    route.first.next(events=blocks)

    reply = pair.gateway.chat(route.model, stream=True, **options)

    shown = [block for block in blocks if is_shown or block != USAGE]
    assert reply.body.decode() == "".join(block + "\n\n" for block in shown)
    asked = route.first.attempts()[0].json()
    assert asked["stream_options"].pop("include_usage") is True
    assert asked["stream_options"] == {
        name: value
        for name, value in (options.get("stream_options") or {}).items()
        if name != "include_usage"
    }
    counted = f'candor_gateway_tokens_total{{provider="{route.first.name}"}}'
    wait_until(lambda: pair.gateway.metrics().get(counted) == 42, "the tokens are counted")


def test_a_server_that_is_merely_compatible_is_not_asked_for_usage(pair):
    route = pair.route_of("compatible")

    assert pair.gateway.chat(route.model, stream=True).status == 200
    assert "stream_options" not in route.first.attempts()[0].json()
