"""Streams: before the first token a failure is a status, after it an event, and nothing that was
cut ever looks complete."""

import json

import pytest

from support.http_client import RawConnection
from support.programs import chat_request, wait_until

# Many failures on purpose: the breaker must not answer instead of the provider.
PAIR = {
    "routes": 120,
    "hasty": {"mute": {"first_byte": "500ms"}, "halting": {"idle": "500ms"}},
    "ratelimitd_config": {"defaults": {"breaker": {"consecutive": 1000, "min_calls": 1000}}},
}

DONE = "[DONE]"
ERROR_EVENT = "data: " + json.dumps(
    {
        "error": {
            "message": "The server had an error while processing your request.",
            "type": "server_error",
            "param": None,
            "code": "server_error",
        }
    }
)
ROLE = (
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
)


def delta(**fields):
    choice = {"index": 0, "delta": fields, "finish_reason": None}
    return "data: " + json.dumps(
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }
    )


FINISH = (
    'data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
)


def assert_told_in_stream(reply, kind, status, other_kind=None):
    """The stream of a client that has seen output ends with one readable error and no success."""
    assert reply.status == 200
    assert not reply.is_cut, "the error is the end of a well framed stream"
    events = reply.events()
    assert DONE not in events
    last = json.loads(events[-1])
    assert "choices" not in last
    error = last["error"]
    assert {"message", "type", "param", "code"} <= set(error)
    assert error["status"] == status
    assert error["candor"]["kind"] in (kind, other_kind)
    assert error["candor"]["attempts"][-1]["kind"] == error["candor"]["kind"]
    assert sum("error" in json.loads(event) for event in events) == 1


def test_healthy_stream_is_relayed_byte_for_byte(pair):
    route = pair.solo()
    blocks = [
        ROLE.replace('"id":"c1"', '"id" : "c1" , "unknown_field":{"kept":[1, 2]}'),
        delta(content="h\u00e9llo \U0001f30d"),
        ": a comment",
        "event: message\nid: 7\nretry: 10\n" + delta(content="\\ud83d"),
        FINISH,
        "data: [DONE]",
    ]
    route.first.next(events=blocks)

    reply = pair.gateway.chat(route.model, stream=True)

    assert reply.status == 200
    assert reply.header("content-type").startswith("text/event-stream")
    assert reply.body.decode() == "".join(block + "\n\n" for block in blocks)


def test_every_split_of_the_bytes_gives_the_same_stream(pair):
    blocks = [ROLE, delta(content="one"), delta(content="two"), FINISH, "data: [DONE]"]
    want = "".join(block + "\n\n" for block in blocks)
    for size in (1, 2, 3, 7, 64):
        route = pair.solo()
        route.first.next(events=blocks, drip_bytes=size)
        assert pair.gateway.chat(route.model, stream=True).body.decode() == want


def test_first_output_reaches_the_client_at_once(pair):
    route = pair.solo()
    route.first.next(cut_after_events=2, end="stall")
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")


def test_usage_asked_for_is_passed_on(pair):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, stream=True, stream_options={"include_usage": True})

    assert json.loads(reply.events()[-2])["usage"]["total_tokens"] == 10


def test_usage_not_asked_for_is_not_shown(pair):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, stream=True)

    assert all("usage" not in json.loads(event) for event in reply.events()[:-1])
    assert all(json.loads(event)["choices"] for event in reply.events()[:-1])


BEFORE_COMMIT = {
    "error as the first event": ({"events": [ERROR_EVENT]}, 500, "upstream_error"),
    "error after the role": ({"events": [ROLE, ERROR_EVENT]}, 500, "upstream_error"),
    "rate limit as the first event": (
        {
            "events": [
                'data: {"error":{"message":"Rate limit reached. Please try again in 20s.",'
                '"type":"tokens","param":null,"code":"rate_limit_exceeded"}}'
            ]
        },
        429,
        "rate_limited",
    ),
    "overloaded as the first event": (
        {
            "events": [
                'data: {"error":{"message":"busy","type":"server_error","param":null,'
                '"code":"server_is_overloaded"}}'
            ]
        },
        503,
        "overloaded",
    ),
    "cut before any event": ({"cut_after_events": 0}, 502, "upstream_interrupted"),
    "cut after the role": ({"cut_after_events": 1}, 502, "upstream_interrupted"),
    "reset after the role": ({"cut_after_events": 1, "end": "reset"}, 502, "upstream_interrupted"),
    "stalled after the role": ({"cut_after_events": 1, "end": "stall"}, 504, "upstream_timeout"),
    "ended after the role": ({"events": [ROLE], "framing": "chunked"}, 502, "upstream_interrupted"),
    "nothing but the end marker": ({"events": ["data: [DONE]"]}, 502, "upstream_malformed"),
    "an empty stream": ({"events": []}, 502, "upstream_malformed"),
    "events that are no JSON": (
        {"events": ["data: {]", "data: [DONE]"]},
        502,
        "upstream_malformed",
    ),
    "a page of HTML": (
        {"body": "<html><body>Sorry</body></html>", "content_type": "text/html"},
        502,
        "upstream_malformed",
    ),
    "a whole answer that is an error": (
        {
            "body": {
                "error": {"message": "boom", "type": "server_error", "param": None, "code": None}
            }
        },
        500,
        "upstream_error",
    ),
}


@pytest.mark.parametrize("dialect", ["openai", "azure"])
@pytest.mark.parametrize(
    "behaviour, status, kind", BEFORE_COMMIT.values(), ids=BEFORE_COMMIT.keys()
)
def test_failure_before_the_first_token_is_a_true_status(pair, behaviour, status, kind, dialect):
    is_silent = behaviour.get("end") == "stall"
    route = pair.hasty("mute", dialect) if is_silent else pair.route_of(dialect)
    route.first.next(**behaviour)

    reply = pair.gateway.chat(route.model, stream=True)

    assert (reply.status, reply.kind()) == (status, kind), reply
    assert reply.error()["candor"]["kind"] == kind


@pytest.mark.parametrize(
    "behaviour, status, kind", BEFORE_COMMIT.values(), ids=BEFORE_COMMIT.keys()
)
def test_failure_before_the_first_token_falls_back(pair, behaviour, status, kind):
    route = pair.hasty_duo("mute") if behaviour.get("end") == "stall" else pair.duo()
    route.first.next(**behaviour)

    reply = pair.gateway.chat(route.model, stream=True)

    assert reply.status == 200
    assert reply.header("x-candor-provider") == route.second.name
    assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:{kind}:")
    assert reply.events()[-1] == DONE
    assert b"c1" not in reply.body, "nothing of the failed attempt reaches the client"


# What breaks a connection may overtake the output before it; so that has time to arrive.
PACED = {"chunk_delay_ms": 30}

AFTER_COMMIT = {
    "closed": ({"cut_after_events": 3, "end": "close"}, "upstream_interrupted", 502),
    "reset": (
        {"cut_after_events": 3, "end": "reset", **PACED},
        "upstream_interrupted",
        502,
    ),
    "ended early": ({"cut_after_events": 3, "end": "finish"}, "upstream_interrupted", 502),
    "garbage": (
        {"cut_after_events": 3, "end": "garbage", **PACED},
        "upstream_interrupted",
        502,
    ),
    "stalled": ({"cut_after_events": 3, "end": "stall"}, "upstream_timeout", 504),
    "finished without the end marker": (
        {"events": [ROLE, delta(content="x"), FINISH]},
        "upstream_interrupted",
        502,
    ),
    "an error event": ({"events": [ROLE, delta(content="x"), ERROR_EVENT]}, "upstream_error", 500),
    "an error event and then the end marker": (
        {"events": [ROLE, delta(content="x"), ERROR_EVENT, "data: [DONE]"]},
        "upstream_error",
        500,
    ),
    "an error beside choices": (
        {
            "events": [
                delta(content="x"),
                'data: {"id":"c1","choices":[{"index":0,"delta":{},'
                '"finish_reason":"error"}],"error":{"code":502,"message":"Provider died"}}',
            ]
        },
        "upstream_error",
        502,
    ),
    "a rate limit": (
        {
            "events": [
                delta(content="x"),
                'data: {"error":{"message":"Rate limit reached.","type":'
                '"tokens","param":null,"code":"rate_limit_exceeded"}}',
            ]
        },
        "rate_limited",
        429,
    ),
}


@pytest.mark.parametrize("dialect", ["openai", "azure"])
@pytest.mark.parametrize("behaviour, kind, status", AFTER_COMMIT.values(), ids=AFTER_COMMIT.keys())
def test_failure_after_the_first_token_is_told_in_the_stream(
    pair, behaviour, kind, status, dialect
):
    is_silent = behaviour.get("end") == "stall"
    route = pair.hasty("halting", dialect) if is_silent else pair.route_of(dialect)
    route.first.next(**behaviour)

    assert_told_in_stream(pair.gateway.chat(route.model, stream=True), kind, status)


def test_no_fallback_after_the_first_token(pair):
    route = pair.duo()
    route.first.next(cut_after_events=3)

    assert_told_in_stream(pair.gateway.chat(route.model, stream=True), "upstream_interrupted", 502)
    assert route.attempt_counts() == [1, 0]


@pytest.mark.parametrize(
    "output",
    [
        {"content": "text"},
        {"reasoning_content": "thinking"},
        {"refusal": "I must not."},
        {
            "tool_calls": [
                {
                    "index": 0,
                    "id": "t",
                    "type": "function",
                    "function": {"name": "f", "arguments": ""},
                }
            ]
        },
        {"function_call": {"name": "f", "arguments": ""}},
    ],
    ids=lambda output: next(iter(output)),
)
def test_every_kind_of_output_commits(pair, output):
    route = pair.solo()
    route.first.next(events=[ROLE, delta(**output), ERROR_EVENT])

    assert_told_in_stream(pair.gateway.chat(route.model, stream=True), "upstream_error", 500)


@pytest.mark.parametrize("end", ["close", "reset", "finish"])
def test_a_stream_cut_anywhere_never_looks_complete(pair, end):
    whole = len(pair.gateway.chat(pair.solo().model, stream=True).body)
    route = pair.solo()
    for cut in range(0, whole - len("\n\n"), 61):
        route.first.next(cut_after_bytes=cut, end=end)
        reply = pair.gateway.chat(route.model, stream=True)
        if reply.status == 200:
            # Half an event at the end of a well framed body is no event at all.
            assert_told_in_stream(reply, "upstream_interrupted", 502, "upstream_malformed")
        else:
            assert reply.status == 502, (cut, reply)


def test_client_that_leaves_cancels_the_upstream(pair):
    route = pair.solo()
    route.first.next(chunks=100_000, chunk_delay_ms=20)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")

    route.first.wait_for_outcome("client_gone")


@pytest.mark.parametrize("stream", [False, True])
def test_client_that_leaves_before_the_answer_cancels_the_upstream(pair, stream):
    route = pair.solo()
    route.first.next(delay_ms=60_000)
    body = json.dumps(chat_request(route.model, stream=stream)).encode()
    with RawConnection(pair.gateway.address) as connection:
        connection.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        route.first.wait_for_attempts(1)

    assert route.first.wait_for_outcome("client_gone").bytes_written == 0


def test_a_slow_reader_holds_the_provider_back_instead_of_filling_memory(pair):
    offered = 400_000_000
    route = pair.solo()
    route.first.next(chunks=offered // 50_000, chunk_bytes=50_000)
    before = pair.gateway.resident_bytes()
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        written = _wait_until_writing_stops(route)
        grown = pair.gateway.resident_bytes() - before

    assert written < offered / 4, "what the sockets on the way hold, not the whole answer"
    assert grown < 16_000_000
    route.first.wait_for_outcome("client_gone")


def _wait_until_writing_stops(route):
    """The provider's count of bytes once it stands still."""
    last = [-1]

    def stands_still():
        [attempt] = route.first.attempts()
        was, last[0] = last[0], attempt.bytes_written
        return was == last[0] and was > 0

    wait_until(stands_still, "the provider is held back", interval_s=0.5)
    return last[0]
