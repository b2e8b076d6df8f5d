"""Whoever reaches ratelimitd's gRPC port or an admin port can send what he likes: the programs live,
need little memory for it, and gateways are answered all the while."""

import contextlib
import socket
import struct

import pytest

from support.attack import Meanwhile
from support.http_client import get
from support.programs import wait_until
from support.raw_http2 import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    RawHttp2,
    frame,
    request_head,
    text,
)

PAIR = {"routes": {"openai": 3}, "doubles": False}
MEGABYTE = 1 << 20
SESSION = "/candor.ratelimitd.v1.AdmissionService/Session"
WATCH = "/candor.ratelimitd.v1.ProviderHealthService/WatchProviders"
HEALTH_WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
# What gRPC may keep of streams that were open at a time (ratelimitd's grpc_listener.cc bounds it).
STREAM_BYTES = 24 << 10


@pytest.fixture(scope="module")
def model(pair):
    return pair.solo().model


def wait_until_answered(pair, model):
    """The gateway's asks are answered, if not all on a machine as busy as this one."""
    wait_until(
        lambda: pair.gateway.chat(model).header("x-candor-degraded") is None, "asks are answered"
    )


@contextlib.contextmanager
def gateways_are_answered(pair, model, memory_bytes):
    """Asserts that ratelimitd answers the gateway, and that it needs no more memory."""
    with Meanwhile(lambda: pair.gateway.chat(model), pair.ratelimitd) as meanwhile:
        yield
    assert pair.ratelimitd.is_running()
    assert {reply.status for reply in meanwhile.answers} == {200}
    wait_until_answered(pair, model)
    grown = meanwhile.growth[pair.ratelimitd]
    assert grown < memory_bytes, f"grew by {grown / 1e6:.0f} MB"


def open_socket(address):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), 20)


BEGUN = PREFACE + frame(SETTINGS)
LONG_FIELD = b"\x40" + text("a" * 100) + text("b" * 120)  # put into HPACK's table
GARBAGE = {
    "garbage": b"\0\xff" * 1000,
    "HTTP/1": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00" + b"\1" * 600,
    "garbage after the preface": PREFACE + b"\xff" * 100_000,
    "a frame of 16 MB": BEGUN + b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * MEGABYTE,
    "endless headers": BEGUN
    + frame(HEADERS, 0, 1, request_head(SESSION))
    + frame(CONTINUATION, 0, 1, b"\0" + text("a" * 100) + text("b" * 100)) * 20_000,
    "a field said again and again": BEGUN
    + frame(HEADERS, END_HEADERS, 1, LONG_FIELD + b"\xbe" * 16_000),
    "pings": BEGUN + frame(PING, 0, 0, b"12345678") * 20_000,
    "settings": BEGUN + frame(SETTINGS) * 20_000,
    "nothing": b"",
}


# gRPC says of each ping that it is one too many. It takes no more of them, from however many, for that.
NEEDED = {"pings": 96 * MEGABYTE}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_on_the_grpc_port(pair, model, what):
    with gateways_are_answered(pair, model, NEEDED.get(what, 24 * MEGABYTE)):
        for _ in range(3):
            with open_socket(pair.ratelimitd.address) as connection:
                with contextlib.suppress(ConnectionError):
                    connection.sendall(GARBAGE[what])


def test_a_message_that_is_too_large_is_refused(pair, model):
    message = b"\0" + struct.pack(">I", 5_000_000) + b"x" * 5_000_000
    resource_exhausted = b"grpc-status\x018"

    def is_refused():
        with RawHttp2(pair.ratelimitd.address) as connection:
            stream = connection.call(SESSION)
            with contextlib.suppress(ConnectionError):
                for begin in range(0, len(message), 16_000):
                    connection.send(frame(DATA, 0, stream, message[begin : begin + 16_000]))
            said = connection.read_until(resource_exhausted)
        assert b"grpc-status" in said
        return resource_exhausted in said

    with gateways_are_answered(pair, model, 24 * MEGABYTE):
        # gRPC's own thread says so, and ours that nothing more comes: whichever is first.
        wait_until(is_refused, "it is told why")


def test_a_method_that_is_not_there(pair, model):
    with gateways_are_answered(pair, model, 24 * MEGABYTE):
        for path in ("/no/such", "/", SESSION + "x", "candor.ratelimitd.v1.AdmissionService"):
            with RawHttp2(pair.ratelimitd.address) as connection:
                connection.call(path, b"", ends=True)
                unimplemented = b"grpc-status\x0212"
                assert unimplemented in connection.read_until(unimplemented)


@pytest.mark.parametrize("path", [SESSION, WATCH, HEALTH_WATCH, REFLECTION])
def test_thousands_of_streams_that_say_nothing_and_read_nothing(pair, model, path):
    connections, streams = 8, 250
    with gateways_are_answered(pair, model, connections * streams * STREAM_BYTES):
        with contextlib.ExitStack() as stack:
            for _ in range(connections):
                connection = stack.enter_context(RawHttp2(pair.ratelimitd.address, window=0))
                messages = [] if path in (SESSION, REFLECTION) else [b""]
                for _ in range(streams):
                    connection.call(path, *messages)
            wait_until_answered(pair, model)
    wait_until(
        lambda: pair.ratelimitd.metrics()["candor_ratelimitd_watchers"] == 0, "all watchers are gone"
    )


def test_messages_that_never_come_whole_are_bounded_together(pair, model):
    """Each of them would be allowed; all together are not."""
    block = frame(DATA, 0, 1, b"x" * 16_000)
    with gateways_are_answered(pair, model, 320 * MEGABYTE):
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                connection = stack.enter_context(RawHttp2(pair.ratelimitd.address))
                connection.socket.settimeout(1)
                # The server stops taking, or ends the connection.
                with contextlib.suppress(ConnectionError, TimeoutError):
                    for _ in range(100):
                        stream = connection.call(SESSION)
                        announced = b"\0" + struct.pack(">I", 4_000_000)
                        connection.send(frame(DATA, 0, stream, announced))
                        own = block[:5] + struct.pack(">I", stream) + block[9:]
                        connection.send(own * 60)


def test_streams_that_are_begun_and_taken_back(pair, model):
    """Also known as rapid reset."""
    with gateways_are_answered(pair, model, 400 * MEGABYTE):
        with RawHttp2(pair.ratelimitd.address) as connection:
            with contextlib.suppress(ConnectionError):
                for _ in range(10_000):
                    stream = connection.call(SESSION)
                    connection.send(frame(RST_STREAM, 0, stream, CANCEL))


def test_a_session_of_nonsense_is_ended(pair, model):
    with gateways_are_answered(pair, model, 24 * MEGABYTE):
        for message in (b"", b"\xff" * 100, b"\x0a\xff\xff\xff\xff\x0f", b"\x08" * 10_000):
            with RawHttp2(pair.ratelimitd.address) as connection:
                connection.call(SESSION, message)
                assert b"grpc-status" in connection.read_until(b"grpc-status")


def test_a_thousand_silent_connections(pair, model):
    with gateways_are_answered(pair, model, 24 * MEGABYTE):
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(open_socket(pair.ratelimitd.address))
            wait_until_answered(pair, model)


SLOW = {
    "nothing": b"",
    "half a request": b"GET /metr",
    "a request that is never read": b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
    "headers without an end": b"GET /metrics HTTP/1.1\r\n" + b"x-a: b\r\n" * 5000,
    "garbage": b"\0\xff" * 5000,
    "a long path": b"GET /" + b"a" * 100_000,
}


@pytest.mark.parametrize("sent", SLOW.values(), ids=SLOW.keys())
@pytest.mark.parametrize("which", ["gateway", "ratelimitd"])
def test_admin_ports_answer_beside_hundreds_who_do_not_read(pair, which, sent):
    service = getattr(pair, which)
    before = service.resident_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            connection = stack.enter_context(open_socket(service.addresses["admin"]))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with contextlib.suppress(ConnectionError):
                connection.sendall(sent)
        for path in ("/metrics", "/healthz", "/readyz"):
            assert get(service.addresses["admin"], path).status == 200
        assert service.open_descriptors() < 300
    assert service.resident_bytes() - before < 24 * MEGABYTE
