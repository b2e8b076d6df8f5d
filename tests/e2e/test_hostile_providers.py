"""Providers that send without an end, too much, too slowly, or something else than was asked for:
the caller is told in its own dialect that the provider has failed, the gateway needs no more memory
than its limits say, and others are served meanwhile."""

import gzip
import json
import time

import pytest

from support.attack import RawProvider, others_are_served
from support.clients import CLIENTS
from support.fake_provider.authority import Authority
from support.stack import TIMEOUTS, Pair

# Of those that only their time ends.
SHORT = {"first_byte": "1s", "idle": "1s", "total": "2s"}
# Of one that others have to have their turns beside.
LESS_SHORT = {"first_byte": "3s"}
RESPONSE_BYTES = 8 << 20
# Of the answer's buffer, which grows by doubling, and what the allocator keeps.
MEMORY_BYTES = 8 * RESPONSE_BYTES
GIGABYTE = 1_000_000_000
MEGABYTE = b"x" * 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n"
JSON = HEAD % (b"application/json", b"content-length: 1000000000\r\n")
CHUNKED = HEAD % (b"application/json", b"transfer-encoding: chunked\r\n")
STREAM = HEAD % (b"text/event-stream", b"")
ROLE = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"%s"},"finish_reason":null}]}\n\n'
)
TIMEOUT = {"upstream_timeout"}
MALFORMED = {"upstream_malformed"}
# Broken off: what had come was well formed.
BROKEN = {"upstream_malformed", "upstream_interrupted"}
# What is translated is not kept, so that only its time ends it.
ENDLESS = MALFORMED | TIMEOUT


def flood(first, piece, last=b""):
    """`first`, then `piece` until there is a gigabyte of it or nobody takes more."""

    def act(connection):
        connection.sendall(first)
        block = piece * (len(MEGABYTE) // len(piece))
        for _ in range(GIGABYTE // len(block)):
            connection.sendall(block)
        connection.sendall(last)

    return act


def drip(first, piece, pause_s=0.15):
    """`first`, then `piece` again and again, for ever."""

    def act(connection):
        connection.sendall(first)
        while True:
            connection.sendall(piece)
            time.sleep(pause_s)

    return act


def say(*pieces, then_s=0.0):
    def act(connection):
        for piece in pieces:
            connection.sendall(piece)
        time.sleep(then_s)

    return act


LISTS = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"x":['
PART = json.dumps({"id": "c", "choices": [{"index": 0, "message": {"content": "hal"}}]})
ATTACKS = {
    "one JSON body": (flood(JSON + b'{"a":"', MEGABYTE), MALFORMED),
    "a body that closes only at the end": (flood(HEAD % (b"application/json", b""), b"["), MALFORMED),
    "one line of a stream": (flood(STREAM + b"data: ", MEGABYTE), MALFORMED),
    "one line that is no field": (flood(STREAM, MEGABYTE), MALFORMED),
    "comments": (flood(STREAM, b": ping\n\n"), ENDLESS),
    "empty lines": (flood(STREAM, b"\n"), ENDLESS),
    "events without output": (flood(STREAM, ROLE % b""), ENDLESS),
    "one header": (flood(b"HTTP/1.1 200 OK\r\nx-a: ", MEGABYTE), MALFORMED),
    "many headers": (flood(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"), MALFORMED),
    "one status line": (flood(b"HTTP/1.1 200 ", MEGABYTE), MALFORMED),
    "hints": (flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), MALFORMED),
    "a chunk's extension": (flood(CHUNKED + b"5;", MEGABYTE), BROKEN),
    "a chunk's size": (flood(CHUNKED, b"0"), BROKEN),
    "trailers": (flood(CHUNKED + b"2\r\n{}\r\n0\r\n", b"x-a: b\r\n"), BROKEN),
    "more values than there is memory for": (
        say(HEAD % (b"application/json", b"") + LISTS, b"[]," * 2_500_000, b"[]]}]}"),
        MALFORMED,
    ),
    "a head, byte by byte": (drip(b"HTTP/1.1 200 OK\r\nx-a: ", b"x"), TIMEOUT),
    "hints, one by one": (drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.4), TIMEOUT),
    "a body, byte by byte": (drip(JSON, b" "), TIMEOUT),
    "a stream without output": (drip(STREAM, b": ping\n\n"), TIMEOUT),
    "a chunk of no size": (say(CHUNKED, b"zz\r\nhello\r\n0\r\n\r\n"), BROKEN),
    "a negative chunk": (say(CHUNKED, b"-5\r\nhello\r\n0\r\n\r\n"), BROKEN),
    "a chunk of 2^64": (say(CHUNKED, b"10000000000000000\r\nhello"), BROKEN),
    "a chunk that is longer": (say(CHUNKED, b"2\r\n{}}}\r\n0\r\n\r\n"), BROKEN),
    "a length of 2^64": (
        say(HEAD % (b"application/json", b"content-length: 18446744073709551616\r\n"), b"{}"),
        MALFORMED,
    ),
    "a negative length": (
        say(HEAD % (b"application/json", b"content-length: -1\r\n"), b"{}"),
        MALFORMED,
    ),
    "more than it announced": (
        say(HEAD % (b"application/json", b"content-length: 10\r\n"), PART.encode()),
        MALFORMED,
    ),
    "less than it announced": (
        say(HEAD % (b"application/json", b"content-length: 9999\r\n"), PART.encode()),
        BROKEN,
    ),
    "a part that it calls a part": (
        say(
            b"HTTP/1.1 206 Partial Content\r\ncontent-type: application/json\r\n"
            b"content-range: bytes 0-9/99\r\ncontent-length: 10\r\n\r\n",
            PART.encode()[:10],
        ),
        MALFORMED,
    ),
    "no content": (say(b"HTTP/1.1 204 No Content\r\n\r\n", then_s=0.2), MALFORMED),
    "not modified": (say(b"HTTP/1.1 304 Not Modified\r\n\r\n", then_s=0.2), MALFORMED),
    "a zipped stream": (
        say(HEAD % (b"text/event-stream", b"content-encoding: gzip\r\n"), gzip.compress(ROLE % b"hal")),
        BROKEN,
    ),
    "a zipped answer": (
        say(HEAD % (b"application/json", b"content-encoding: gzip\r\n"), gzip.compress(PART.encode())),
        MALFORMED,
    ),
    "HTTP/2": (say(b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18), MALFORMED),
    "a bare line feed": (say(b"HTTP/1.1 200 OK\ncontent-length: 2\n\n{}"), MALFORMED),
    "a NUL in a header": (say(b"HTTP/1.1 200 OK\r\nx-a: \0\r\n\r\n{}"), MALFORMED),
}
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    b'{"error":{"message":"Too large.","type":"invalid_request_error","param":null,"code":null}}'
)
STREAMED = [
    "one line of a stream",
    "one line that is no field",
    "comments",
    "empty lines",
    "events without output",
    "a stream without output",
    "a zipped stream",
]


class Attacked(Pair):
    """A pair, and for each attack a provider of its own."""

    def __init__(self, programs, authority):
        super().__init__(
            programs,
            routes={"openai": 1},
            doubles=False,
            gateways=0,
            gateway_config={"limits": {"response": f"{RESPONSE_BYTES >> 20}MiB"}},
            ratelimitd_config={"defaults": {"breaker": {"consecutive": 1000, "min_calls": 1000}}},
        )
        self.raw = {name.replace(" ", "-"): RawProvider(act) for name, (act, _) in ATTACKS.items()}
        self.raw["endless-words"] = RawProvider(drip(STREAM + ROLE % b"Honest", ROLE % b"word"))
        self.raw["impatient"] = RawProvider(say(TOO_LARGE, then_s=0.2))
        tls = authority.server_context("good")
        self.raw["comments-by-https"] = RawProvider(ATTACKS["comments"][0], tls)
        timeouts = {
            name.replace(" ", "-"): SHORT
            for name, (_, kinds) in ATTACKS.items()
            if "upstream_timeout" in kinds
        }
        timeouts |= {"endless-words": {"total": "2s"}, "comments-by-https": LESS_SHORT}
        for name, raw in self.raw.items():
            provider = self.provider(name, "openai", {**TIMEOUTS, **timeouts.get(name, {})})
            provider["base_url"] = raw.base_url
            if raw.base_url.startswith("https:"):
                provider["ca_file"] = str(authority.ca_path)
            self.config["providers"].append(provider)
            target = {"provider": name, "model": "m"}
            self.config["models"].append({"name": name, "targets": [target]})
        self.gateway = programs.gateway(self.config)
        self.good = self.solo().model

    def others_are_served(self):
        return others_are_served(self.gateway, self.good, MEMORY_BYTES)


@pytest.fixture(scope="module")
def pair(shared_programs, tmp_path_factory):
    pair = Attacked(shared_programs, Authority(tmp_path_factory.mktemp("authority")))
    yield pair
    for raw in pair.raw.values():
        raw.close()


@pytest.mark.parametrize("client_name", ["chat_completions", "messages"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_provider_has_failed_and_nobody_else_suffers(pair, attack, client_name):
    client = CLIENTS[client_name]
    _, kinds = ATTACKS[attack]
    with pair.others_are_served():
        reply = client.ask(pair.gateway, attack.replace(" ", "-"), stream=attack in STREAMED)

    error = client.failure(reply)
    assert error["candor"]["kind"] in kinds, reply
    assert error["candor"]["fault"] == "provider"
    assert reply.status in (502, 504)


def test_a_flood_by_https_leaves_others_and_the_timeout_their_turn(pair):
    client = CLIENTS["messages"]
    with pair.others_are_served() as meanwhile:
        reply = client.ask(pair.gateway, "comments-by-https", stream=True)

    assert client.failure(reply)["candor"]["kind"] == "upstream_timeout"
    assert len(meanwhile.answers) > 3


def test_a_stream_that_never_ends_is_ended_by_its_total_timeout(pair):
    client = CLIENTS["messages"]
    with pair.others_are_served():
        reply = client.ask(pair.gateway, "endless-words", stream=True)

    error = client.failure_in_stream(reply)
    assert (error["status"], error["candor"]["kind"]) == (504, "upstream_timeout")
    assert client.read(reply).text.startswith("Honestword")


def test_an_answer_before_the_request_was_read_is_an_answer(pair):
    client = CLIENTS["messages"]
    long = [{"role": "user", "content": "x" * 20_000_000}]
    with others_are_served(pair.gateway, pair.good, 150 << 20):
        reply = client.ask(pair.gateway, "impatient", messages=long)

    assert (reply.status, reply.kind()) == (413, "too_large"), reply
