"""Providers that say something before they have read a large request. A refusal is what the client
is told, though the provider reads no more and keeps the connection; that serves nobody else then.
Nor does any other on which an answer is not the last word."""

import json
import select
import threading

import pytest

from support.attack import RawProvider
from support.fake_provider.authority import Authority
from support.stack import Pair

LARGE = 20_000_000  # bytes: more than the kernels of both sides keep
WAIT_S = 30  # Less than an idle connection is kept.
ERROR = {"message": "The provider says no.", "type": "t", "param": None, "code": None}
CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
ANSWER = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [CHOICE]}
HINTS = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


def reply(status, value, *headers):
    body = json.dumps(value)
    head = [f"HTTP/1.1 {status} X", "content-type: application/json", *headers]
    return "\r\n".join([*head, f"content-length: {len(body)}", "", body]).encode()


def refuse(status, *headers):
    return say(reply(status, {"error": ERROR}, *headers))


def say(words):
    """Reads nothing, and keeps the connection until the gateway closes it."""

    def act(connection):
        connection.sendall(words)
        end = select.poll()
        end.register(connection, select.POLLRDHUP)
        assert end.poll(WAIT_S * 1000), "the gateway keeps the connection"

    return act


def answer(before, after):
    """Says one before it reads on, and the other when it has read everything."""

    def act(connection):
        connection.sendall(before)
        seen = b""
        while not seen.endswith(b'x"}'):
            piece = connection.recv(1 << 20)
            assert piece, "the gateway has closed within its request"
            seen = seen[-2:] + piece
        connection.sendall(after)

    return act


# What the provider does, and what the client is told.
CASES = {
    "too large": (refuse(413), 413, "too_large"),
    "rate limited": (refuse(429, "retry-after: 7"), 429, "rate_limited"),
    "after hints": (say(HINTS + reply(429, {"error": ERROR}, "retry-after: 7")), 429, "rate_limited"),
    "bad key": (refuse(401), 502, "provider_auth"),
    "overloaded": (refuse(503), 503, "overloaded"),
    "no HTTP": (say(b"SSH-2.0-x\r\n\r\n"), 502, "upstream_malformed"),
    "hints first": (answer(HINTS, reply(200, ANSWER)), 200, None),
    "answer first": (answer(reply(200, ANSWER), b""), 200, None),
}
# A small request is answered, and the connection is of no use any more.
SPENT = {
    "farewell": say(reply(200, ANSWER, "connection: close")),
    "more": say(reply(200, ANSWER) + b"HTTP/1.1 200 OK\r\n"),
}
BOTH = pytest.mark.parametrize("scheme", ["http", "https"])


class Watched:
    """Does `act` with each connection, and knows how that ended."""

    def __init__(self, act, tls):
        self._act = act
        self._ended = threading.Semaphore(0)
        self.failures = []
        self.provider = RawProvider(self._serve, tls)

    def _serve(self, connection):
        try:
            self._act(connection)
        except (AssertionError, OSError) as error:
            self.failures.append(error)
        self._ended.release()

    def wait_for_end(self):
        assert self._ended.acquire(timeout=WAIT_S)
        assert not self.failures


@pytest.fixture(scope="module")
def providers(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    tls = {"http": None, "https": authority.server_context("good")}
    made = {
        (name, scheme): Watched(act, tls[scheme])
        for name, act in [*((name, case[0]) for name, case in CASES.items()), *SPENT.items()]
        for scheme in tls
    }
    yield authority, made
    for watched in made.values():
        watched.provider.close()


@pytest.fixture(scope="module")
def gateway(shared_programs, providers):
    authority, made = providers
    pair = Pair(shared_programs, routes={}, gateways=0)
    for (name, scheme), watched in made.items():
        model = f"{scheme}-{name}".replace(" ", "-")
        provider = pair.provider(model, "openai")
        url = watched.provider.base_url.replace("127.0.0.1", "localhost")
        pair.config["providers"].append({**provider, "base_url": url})
        if scheme == "https":
            pair.config["providers"][-1]["ca_file"] = str(authority.ca_path)
        pair.config["models"].append(
            {"name": model, "targets": [{"provider": model, "model": "m"}]}
        )
    return shared_programs.gateway(pair.config)


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_what_it_said_is_told(gateway, providers, case, scheme):
    _, status, kind = CASES[case]
    model = f"{scheme}-{case}".replace(" ", "-")

    told = gateway.chat(model, user="x" * LARGE)

    assert (told.status, told.kind()) == (status, kind), told
    if status == 429:
        assert 6500 < told.wait_ms() < 10_000, "what it said, and what jitter adds"
    if kind in ("too_large", "rate_limited", "overloaded"):
        assert told.error()["message"] == ERROR["message"]
    if status == 200:
        assert told.json()["choices"][0]["message"]["content"] == "Hi"
    providers[1][case, scheme].wait_for_end()


@BOTH
def test_the_connection_serves_nobody_else(gateway, providers, scheme):
    watched = providers[1]["too large", scheme]
    for _ in range(2):
        assert gateway.chat(f"{scheme}-too-large", user="x" * LARGE).status == 413
        watched.wait_for_end()


@BOTH
@pytest.mark.parametrize("case", SPENT)
def test_one_that_is_spent_is_closed(gateway, providers, case, scheme):
    assert gateway.chat(f"{scheme}-{case}").status == 200
    providers[1][case, scheme].wait_for_end()
