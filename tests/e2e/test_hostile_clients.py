"""Clients that hold what they can get: connections, time, memory, names. Limits hold, others are
served meanwhile, and no provider is blamed. (test_bad_input.py has what is no valid request.)"""

import contextlib
import hashlib
import http.client
import json
import resource
import socket
import threading

import pytest

from support.attack import others_are_served
from support.clients import CLIENTS
from support.http_client import RawConnection
from support.programs import chat_request, wait_until
from support.stack import Pair

MEGABYTE = 1 << 20
IDLE_CONNECTIONS = 10_000
IDLE_BYTES = 8 << 10  # of memory, for a connection that does nothing
KEY = "sk-of-the-caller"


def post_head(path="/v1/chat/completions", **headers):
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *lines, "", ""]).encode()


@contextlib.contextmanager
def connections(address, count):
    """So many open ones."""
    host, port = address.rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection((host, int(port)), 30))
            for _ in range(count)
        ]


def descriptors_for(wanted):
    """As many as `wanted`, or what the system grants; a few are left for the test itself."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - 500)


def test_idle_connections_cost_little_and_hinder_nobody(programs):
    pair = Pair(programs, routes={"openai": 1}, doubles=False)
    model = pair.solo().model
    count = descriptors_for(IDLE_CONNECTIONS)
    with others_are_served(pair.gateway, model, count * IDLE_BYTES) as meanwhile:
        with connections(pair.gateway.address, count):
            wait_until(lambda: pair.gateway.open_descriptors() > count, "all are accepted")
            seen = len(meanwhile.answers)
            wait_until(lambda: len(meanwhile.answers) > seen + 3, "others are answered")
    wait_until(lambda: pair.gateway.open_descriptors() < 100, "all are closed")
    print(f"{count} idle connections: {meanwhile.growth[pair.gateway] / MEGABYTE:.1f} MiB")


LIMITS = {"header_timeout": "1s", "body_timeout": "1s", "body": "1MiB"}
SLOW = {
    "half a head": post_head()[:-2],
    "half a body": post_head(content_length=1000) + b'{"model"',
    "half a chunk": post_head(transfer_encoding="chunked") + b'10\r\n{"model"',
    "trailers": post_head(transfer_encoding="chunked") + b"2\r\n{}\r\n0\r\nx-a: b\r\n",
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
def test_many_slow_requests_are_timed_out_and_hinder_nobody(programs, sent):
    pair = Pair(programs, routes={"openai": 1}, doubles=False, gateway_config={"limits": LIMITS})
    model = pair.solo().model
    with others_are_served(pair.gateway, model, 32 * MEGABYTE):
        with connections(pair.gateway.address, 300) as slow:
            for connection in slow:
                connection.sendall(sent)
            for connection in slow:
                assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
                connection.close()
    wait_until(lambda: pair.gateway.open_descriptors() < 100, "all are closed")


def test_floods_of_headers_and_trailers_are_bounded(programs):
    pair = Pair(programs, routes={"openai": 1}, doubles=False, gateway_config={"limits": LIMITS})
    model = pair.solo().model
    chunked = post_head(transfer_encoding="chunked") + b"2\r\n{}\r\n0\r\n"
    floods = [
        (post_head()[:-2], b"x-a: b\r\n"),
        (post_head()[:-2] + b"x-a: ", b"x"),
        (b"POST /v1/", b"x"),
        (b"", b"\r\n"),
        (b"", b"x"),
        (chunked, b"x-a: b\r\n"),
        (chunked + b"x-a: ", b"x"),
        (post_head(transfer_encoding="chunked"), b"0"),
        (post_head(transfer_encoding="chunked") + b"1;", b"x"),
        (post_head(transfer_encoding="chunked"), b"1\r\n \r\n"),
    ]
    with others_are_served(pair.gateway, model, 16 * MEGABYTE):
        for first, piece in floods:
            with RawConnection(pair.gateway.address) as connection:
                connection.send(first)
                for _ in range(30):
                    connection.send(piece * (MEGABYTE // len(piece)))
                reply = connection.read_reply()
                # A reset may overtake the answer.
                assert reply is None or reply.status in (400, 408, 413, 431), (piece, reply)


WIDTHS = {
    "numbers": b'"x":[' + b"1," * 1_200_000 + b"1]",
    "lists": b'"metadata":{"a":[' + b"[]," * 1_200_000 + b"[]]}",
    "messages": b'"messages":[' + b'{"role":"user","content":"x"},' * 400_000 + b"1]",
    "fields": b",".join(b'"k%d":1' % i for i in range(1_100_000)),
    "a schema": b'"tools":[{"type":"function","function":{"name":"f","parameters":{"a":['
    + b"[]," * 1_200_000
    + b"[]]}}}]",
}


@pytest.fixture(scope="module")
def wide(shared_programs):
    return Pair(shared_programs, routes={"openai": 2, "anthropic": 1, "gemini": 1}, doubles=False)


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "gemini"])
def test_what_is_wide_is_refused_before_it_becomes_a_tree(wide, dialect):
    """32 MB of JSON could become a gigabyte of values, and seconds in which nobody else of the thread
    is served."""
    model = "solo-1" if dialect == "openai" else f"on-{dialect}-0"
    # The body is there up to three times: as received, padded for the scan, and what indexes it.
    with others_are_served(wide.gateway, "solo-0", 150 * MEGABYTE):
        for name, inner in WIDTHS.items():
            usual = b"" if name == "messages" else b'"messages":[{"role":"user","content":"x"}],'
            body = b'{"model":"%s",%s%s}' % (model.encode(), usual, inner)
            reply = wide.gateway.post("/v1/chat/completions", body)
            assert (reply.status, reply.kind()) == (400, "bad_request"), (name, reply)
            assert "JSON values" in reply.error()["message"]


def test_slow_readers_are_no_fault_of_the_provider(programs):
    """The provider's time does not run while the client takes nothing; and the client has as much
    time for that as the provider has in all."""
    pair = Pair(
        programs,
        routes={"openai": 1},
        doubles=False,
        hasty={"endless": {"total": "2s"}},
        hasty_routes=2,
        ratelimitd_config={"defaults": {"breaker": {"consecutive": 2, "lump": "0s"}}},
    )
    good = pair.solo().model
    for route in (pair.hasty("endless"), pair.hasty("endless", "anthropic")):
        route.first.next(times=4, chunks=100_000, chunk_bytes=20_000)
        with others_are_served(pair.gateway, good, 32 * MEGABYTE):
            readers = [_SlowReader(pair.gateway, route.model) for _ in range(4)]
            wait_until(
                lambda: [a.outcome for a in route.first.attempts()] == ["client_gone"] * 4,
                "all are dropped",
            )
            for reader in readers:
                assert b"[DONE]" not in reader.read_rest()
        counted = f'candor_gateway_attempts_total{{provider="{route.first.name}",result="%s"}}'
        wait_until(
            lambda: pair.gateway.metrics().get(counted % "client_cancelled") == 4, "all are counted"
        )
        provider = pair.ratelimitd.provider(route.first.name)
        for health in (provider["health"], *(t["health"] for t in provider["targets"])):
            assert health["state"] == "HEALTH_STATE_HEALTHY", "the provider is not blamed"
            assert "failures" not in health.get("window", {}), provider


class _SlowReader:
    """Takes its stream in small sips, in a thread of its own."""

    def __init__(self, gateway, model):
        self._connection = RawConnection(gateway.address)
        # Little may wait on the way, so that it is the reader whom everybody waits for.
        self._connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        body = json.dumps(chat_request(model, stream=True)).encode()
        self._connection.send(post_head(content_length=len(body)) + body)
        self._is_fast = threading.Event()
        self._last = b""
        self._thread = threading.Thread(target=self._sip)
        self._thread.start()

    def _sip(self):
        with contextlib.suppress(ConnectionError):
            while piece := self._connection.socket.recv(100_000):
                self._last = (self._last + piece)[-10_000:]
                self._is_fast.wait(0.1)

    def read_rest(self):
        """The end of what it got."""
        self._is_fast.set()
        self._thread.join()
        self._connection.close()
        return self._last


def test_any_number_of_names_and_keys_makes_no_more_series_and_no_more_memory(programs):
    config = {"clients": [{"name": "team", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest(), "models": ["solo-*"]}]}
    pair = Pair(programs, routes={"openai": 1}, doubles=False, gateway_config=config)
    pair.solo()
    own = {"authorization": f"Bearer {KEY}"}
    services = [pair.gateway, pair.ratelimitd]

    def ask_all(worker, count):
        connection = http.client.HTTPConnection(pair.gateway.address)
        for i in range(count):
            name = f"{worker}-{i}"
            headers = [own, {"authorization": f"Bearer {name}"}, {"x-api-key": name}][i % 3]
            model = [f"model-{name}", f"solo-{name}", "solo-0"][i // 3 % 3]
            headers = {**headers, "x-request-id": name, "user-agent": name}
            path = CLIENTS[["messages", "responses", "chat_completions"][i % 3]].path
            body = json.dumps({"model": model, "messages": [], "input": "x", "max_tokens": 1})
            connection.request("POST", f"{path}?{name}" if i % 5 else f"/{name}", body, headers)
            assert connection.getresponse().read()

    def ask_by_all(count):
        workers = [threading.Thread(target=ask_all, args=(w, count)) for w in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    ask_by_all(100)
    series = [len(service.metrics()) for service in services]
    memory = [service.resident_bytes() for service in services]
    ask_by_all(600)

    assert [len(service.metrics()) for service in services] == series
    for service, before in zip(services, memory):
        assert service.resident_bytes() - before < 4 * MEGABYTE
