"""Every client dialect times every provider dialect times every failure times every place in the
exchange: nothing that failed is ever told as a success, the error is one that clients of the
dialect can read, the provider's words survive, and no secret of the operator's does."""

import base64
import json
import pathlib
import sys

import pytest

from conformance import words
from support.clients import CLIENTS, EMBEDDINGS
from support.programs import RefusingAddress
from support.stack import PROVIDER_DIALECTS, Pair

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support" / "fake_provider"))

import answer  # noqa: E402
import dialects  # noqa: E402

# Many failures on purpose: the breaker must not answer instead of the provider.
RATELIMITD = {"defaults": {"breaker": {"consecutive": 1000, "min_calls": 1000}}}
ROUTES = 420
MESSAGE = "Zebra 77 tripped over the cable"
ANSWER = answer.Answer(
    reasoning=("Hm.",),
    text=("Honest", " words"),
    tool_calls=(answer.ToolCall("call_1", "weather", {"city": "Oslo"}),),
    finish="tool_calls",
)
WORDS = answer.Answer(text=("Honest", " words"))
# Only clients of Responses make a difference between a provider that has them and one that has not.
PAIRS = [
    (client, dialect)
    for client in CLIENTS
    for dialect in PROVIDER_DIALECTS
    if dialect != "compatible" or client == "responses"
]


@pytest.fixture(scope="module")
def pair(shared_programs):
    """As everywhere, and for each dialect a provider where nobody listens."""
    pair = Pair(
        shared_programs,
        routes=dict.fromkeys(PROVIDER_DIALECTS, ROUTES),
        doubles=False,
        ratelimitd_config=RATELIMITD,
        gateways=0,
    )
    refusing = RefusingAddress()
    pair.refusing_address = str(refusing)
    for dialect in PROVIDER_DIALECTS:
        gone = pair.provider(f"gone-{dialect}", dialect)
        gone["base_url"] = f"http://{pair.refusing_address}"
        pair.config["providers"].append(gone)
        target = {"provider": gone["name"], "model": "m"}
        pair.config["models"].append({"name": gone["name"], "targets": [target]})
    pair.gateway = shared_programs.gateway(pair.config)
    with refusing:
        yield pair


def upstream_call(client_name, dialect):
    """What the provider is asked: its own API, or the one of OpenAI's that the client speaks."""
    if dialect in ("anthropic", "gemini"):
        api = {"anthropic": "messages", "gemini": "generate"}[dialect]
    elif dialect == "compatible":
        dialect, api = "openai", "chat"
    else:
        api = {"completions": "completions", "responses": "responses"}.get(client_name, "chat")
    return dialects.Call(dialect, api, "p", "m", True, {})


class Exchange:
    """One request of a client of one dialect to a provider of another, which is told to fail."""

    def __init__(self, pair, client, dialect):
        self.client = CLIENTS.get(client, client)
        self.gateway = pair.gateway
        self.route = pair.route_of(dialect)
        provider = next(p for p in pair.config["providers"] if p["name"] == self.route.first.name)
        key, address = provider["api_key"], pair.fake.addresses["http"]
        self.secrets = {
            "key": key,
            "key in base64": base64.b64encode(key.encode()).decode(),
            "most of the key": key[:-2],
            "base_url": provider["base_url"],
            "address": address,
        }
        self.message = f"{MESSAGE}: " + ", ".join(self.secrets.values())

    def fails(self, stream, has_message=False, **behaviour):
        """Asserts everything that has to hold for what the client gets."""
        asked_before = self.route.first.attempt_count()
        self.route.first.next(**behaviour)
        reply = self.client.ask(self.gateway, self.route.model, stream=stream)
        assert self.route.first.attempt_count() == asked_before + 1, "asked once"
        assert_failed(self.client, reply, self.secrets)
        if has_message:
            assert MESSAGE in self.client.told(reply)[0]["message"], reply


def assert_failed(client, reply, secrets):
    error, status = client.told(reply)
    assert status >= 400, reply
    assert error["candor"]["kind"], reply
    if reply.status == 200:
        seen = client.read(reply)
        assert seen.has_output() or seen.finish, "the status went out before any output came"
    shown = reply.text() + json.dumps(reply.header_pairs)
    for name, secret in secrets.items():
        assert secret not in shown, f"the client sees the {name}"


# Name -> what the provider does, given its call and its message; None: its dialect cannot say so.
def _said(means, **more):
    def behaviour(call, message):
        if not words.can_say(call.dialect, means):
            return None
        status = words.status_of(call.dialect, means)
        body = words.error_body(call.dialect, means, message)
        return {"has_message": True, "status": status, "body": body, **more}

    return behaviour


def _half_an_answer(call, _):
    body = json.dumps(dialects.healthy_body(call, WORDS))
    return {"body": body[: len(body) // 2]}


HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
SHAPES = {
    "closed": lambda *_: {"before_headers": "close"},
    "reset": lambda *_: {"before_headers": "reset"},
    "no HTTP": lambda *_: {"raw": "220 smtp.example ESMTP\r\n\r\n"},
    **{f"{means}": _said(means) for means in words.OPENAI},
    **{
        f"200 that says {means}": _said(means, status=200)
        for means in ("rate_limited", "overloaded", "upstream_error", "invalid_request")
    },
    "400 that says overloaded": _said("overloaded", status=400),
    "429 without a body": lambda *_: {"status": 429, "body": ""},
    "529 as text": lambda _, message: {
        "has_message": True,
        "status": 529,
        "body": message,
        "content_type": "text/plain",
    },
    "error as a string": lambda _, message: {
        "has_message": True,
        "status": 500,
        "body": {"error": message},
    },
    "502 as HTML": lambda *_: {"status": 502, "body": HTML, "content_type": "text/html"},
    "200 as HTML": lambda *_: {"body": HTML, "content_type": "text/html"},
    "200 without a body": lambda *_: {"body": ""},
    "200 without a body as a stream": lambda *_: {"body": "", "content_type": "text/event-stream"},
    "200 of another shape": lambda *_: {"body": {"hello": "world"}},
    "200 with null": lambda *_: {"body": "null"},
    "200 with an empty list": lambda *_: {"body": []},
    "half an answer": _half_an_answer,
    "cut inside the answer": lambda *_: {"cut_after_bytes": 30, "end": "close"},
    "reset inside the answer": lambda *_: {"cut_after_bytes": 30, "end": "reset"},
    "finished inside the answer": lambda *_: {
        "cut_after_bytes": 30,
        "end": "finish",
        "framing": "chunked",
    },
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_nobody_listens(pair, client_name, dialect, stream):
    client = CLIENTS[client_name]
    reply = client.ask(pair.gateway, f"gone-{dialect}", stream=stream)

    assert_failed(client, reply, {"address": pair.refusing_address})
    assert (reply.status, reply.kind()) == (502, "upstream_unreachable")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "client_name, dialect, shape",
    [
        (client, dialect, shape)
        for client, dialect in PAIRS
        for shape, behaviour in SHAPES.items()
        if behaviour(upstream_call(client, dialect), MESSAGE)
    ],
)
def test_instead_of_an_answer(pair, client_name, dialect, shape, stream):
    exchange = Exchange(pair, client_name, dialect)
    behaviour = SHAPES[shape](upstream_call(client_name, dialect), exchange.message)
    exchange.fails(stream, **behaviour)


def _error_event(call, message):
    events = words.stream_error(call, "overloaded", message)
    return {"has_message": True, "last_events": events, "end": "finish"}


# Name -> how a stream ends before its time, given the provider's call and its message.
ENDS = {
    "closed": lambda *_: {"end": "close"},
    "reset": lambda *_: {"end": "reset"},
    "ended in silence": lambda *_: {"end": "finish"},
    "broken framing": lambda *_: {"end": "garbage"},
    "an error": _error_event,
    "an error and then closed": lambda *args: {**_error_event(*args), "end": "close"},
    "no JSON": lambda *_: {"last_events": ["data: {]"], "end": "finish"},
    "half an event": lambda *_: {"last_events": ['data: {"id": "c1", "choi'], "end": "close"},
}


# What an error means, and the status and kind by which it is told wherever it comes.
MEANINGS = {
    "rate_limited": (429, "rate_limited"),
    "quota_exhausted": (429, "quota_exhausted"),
    "overloaded": (503, "overloaded"),
    "upstream_error": (500, "upstream_error"),
    "auth": (502, "provider_auth"),
    "context_length": (400, "context_length"),
    "invalid_request": (400, "invalid_request"),
}


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("means", MEANINGS)
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_an_error_in_a_stream_means_what_it_means(pair, client_name, dialect, means, place):
    call = upstream_call(client_name, dialect)
    events = list(dialects.healthy_events(call, WORDS))
    exchange = Exchange(pair, client_name, dialect)
    route, client = exchange.route, exchange.client
    # Anthropic and Gemini tell some meanings by their words alone.
    own_words = words.error_body(call.dialect, means)["error"]["message"]
    route.first.next(
        events=events,
        cut_after_events=0 if place == "first" else len(events) - 1,
        last_events=words.stream_error(call, means, f"{own_words} {MESSAGE}"),
        end="finish",
    )

    reply = client.ask(pair.gateway, route.model, stream=True)

    error, status = client.told(reply)
    assert (reply.status == 200) == (place == "last")
    # Anthropic tells an empty account with 402, which no caller can mend.
    is_purse = means == "quota_exhausted" and call.dialect == "anthropic"
    told = (502, "quota_exhausted") if is_purse else MEANINGS[means]
    assert (status, error["candor"]["kind"]) == told
    assert MESSAGE in error["message"]


EMBEDDING_CALLS = {
    "openai": dialects.Call("openai", "embeddings", "p", "m", False, {"input": "x"}),
    "azure": dialects.Call("azure", "embeddings", "p", "m", False, {"input": "x"}),
    "gemini": dialects.Call("gemini", "embedContent", "p", "m", False, {}),
}


@pytest.mark.parametrize(
    "dialect, shape",
    [
        (dialect, shape)
        for dialect, call in EMBEDDING_CALLS.items()
        for shape, behaviour in SHAPES.items()
        if behaviour(call, MESSAGE)
    ],
)
def test_instead_of_embeddings(pair, dialect, shape):
    exchange = Exchange(pair, EMBEDDINGS, dialect)
    exchange.fails(False, **SHAPES[shape](EMBEDDING_CALLS[dialect], exchange.message))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("client_name, dialect", PAIRS)
def test_after_every_event_of_a_stream(pair, client_name, dialect, end):
    call = upstream_call(client_name, dialect)
    events = list(dialects.healthy_events(call, WORDS if call.api == "completions" else ANSWER))
    exchange = Exchange(pair, client_name, dialect)
    for number in range(len(events)):
        behaviour = ENDS[end](call, exchange.message)
        try:
            exchange.fails(True, events=events, cut_after_events=number, **behaviour)
        except Exception as error:
            raise AssertionError(f"{end} after {number} of {len(events)} events") from error
