"""What no well-behaved client sends: each is the right 4xx in the API's error shape, others are
served meanwhile, and the process lives."""

import gzip
import json
import random
import select
import time

import pytest

from support.http_client import DEADLINE_S, RawConnection
from support.programs import chat_request

pytestmark = pytest.mark.bad_input
PAIR = {
    "routes": 4,
    "gateway_config": {
        "limits": {
            "body": "4MiB",
            "headers": "16KiB",
            "header_timeout": "1s",
            "body_timeout": "1s",
            "idle_timeout": "2s",
        }
    },
}


@pytest.fixture(autouse=True)
def gateway_lives(pair):
    yield
    assert pair.gateway.is_running()
    assert pair.gateway.chat("solo-0").status == 200


def head(*lines, path="/v1/chat/completions"):
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: x", *lines, "", ""]).encode("latin-1")


def with_body(body):
    return head("content-type: application/json", f"content-length: {len(body)}") + body


def chat(**fields):
    return json.dumps({**chat_request("solo-0"), **fields}).encode()


GOOD_BODY = json.dumps(chat_request("solo-0")).encode()


def ask(pair, data):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(data)
        return connection.read_reply()


def assert_refused(reply, status, kind, param=None):
    assert reply is not None, "the connection was closed without an answer"
    assert (reply.status, reply.kind()) == (status, kind), reply
    assert reply.header("x-request-id")
    error = reply.error()
    assert error["param"] == param
    assert error["candor"]["kind"] == kind
    assert error["candor"]["fault"] == "caller"


BAD_BODIES = {
    "nothing": (b"", None),
    "broken JSON": (b'{"model": "solo-0", ', None),
    "trailing garbage": (GOOD_BODY + b"}", None),
    "a NUL": (GOOD_BODY + b"\0", None),
    "NULs only": (b"\0" * 100, None),
    "NUL inside a string": (b'{"model": "solo-0\0", "messages": []}', None),
    "bad UTF-8": (b'{"model": "solo-0", "messages": [], "user": "\xff\xfe"}', None),
    "not an object": (b'["solo-0"]', None),
    "a number": (b"17", None),
    "no model": (b'{"messages": [{"role": "user", "content": "x"}]}', "model"),
    "an empty model": (chat(model=""), "model"),
    "a model that is null": (chat(model=None), "model"),
    "a model that is a number": (chat(model=7), "model"),
    "a model that is an object": (chat(model={"a": 1}), "model"),
    "no messages": (b'{"model": "solo-0"}', "messages"),
    "messages as text": (chat(messages="hello"), "messages"),
    "stream as text": (chat(stream="yes"), "stream"),
    "stream as a number": (chat(stream=1), "stream"),
    "too deep": (b'{"model": "solo-0", "messages": ' + b"[" * 100_000, None),
    "too deep, closed": (
        b'{"model": "solo-0", "messages": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        None,
    ),
    "half a surrogate": (chat(user="\ud800"), None),
    "a model of half a surrogate": (chat(model="\udc00"), None),
    "an overlong NUL": (b'{"model": "solo-0", "messages": [], "user": "\xc0\x80"}', None),
    "more values than any request has": (GOOD_BODY[:-1] + b', "x": [' + b"0," * 1_000_000 + b"0]}", None),
    "two models": (b'{"model": "solo-0", "model": "solo-1", "messages": []}', "model"),
}


@pytest.mark.parametrize("body, param", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_body(pair, body, param):
    assert_refused(ask(pair, with_body(body)), 400, "bad_request", param)


@pytest.mark.parametrize("path, param", [("completions", "prompt"), ("embeddings", "input")])
def test_missing_field_of_other_endpoints(pair, path, param):
    reply = pair.gateway.post(f"/v1/{path}", {"model": "solo-0"})
    assert_refused(reply, 400, "bad_request", param)


def test_numbers_beyond_every_range_are_the_providers_business(pair):
    body = GOOD_BODY[:-1] + b', "seed": 99999999999999999999999999, "n": -1e308}'
    assert ask(pair, with_body(body)).status == 200


def test_duplicate_of_an_undecided_field_passes(pair):
    assert ask(pair, with_body(GOOD_BODY[:-1] + b', "user": "a", "user": "b"}')).status == 200


@pytest.mark.parametrize("size", [4 * 1024 * 1024 + 1, 100_000_000, 10**18])
def test_announced_body_above_the_limit(pair, size):
    reply = ask(pair, head(f"content-length: {size}"))
    assert_refused(reply, 413, "body_too_large")


def test_100_mb_sent_all_the_same(pair):
    before = pair.gateway.resident_bytes()
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head("content-length: 100000000"))
        for _ in range(100):
            connection.send(b"x" * 1_000_000)
        # The answer may be lost to the reset that ends such a connection; memory must not be.
        connection.read_reply()
    assert pair.gateway.resident_bytes() - before < 20_000_000


def test_chunked_body_above_the_limit(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head("transfer-encoding: chunked"))
        for _ in range(65):
            connection.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        assert_refused(connection.read_reply(), 413, "body_too_large")


def test_expect_continue_is_answered_before_a_body_too_large(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head("content-length: 100000000", "expect: 100-continue"))
        assert_refused(connection.read_reply(), 413, "body_too_large")


@pytest.mark.parametrize("size", [17_000, 1_000_000])
def test_headers_above_the_limit(pair, size):
    reply = ask(pair, head("content-length: 2", "x-long: " + "h" * size) + b"{}")
    assert_refused(reply, 431, "headers_too_large")


def test_many_headers_above_the_limit(pair):
    lines = [f"x-{number}: 1" for number in range(5000)]
    assert_refused(ask(pair, head("content-length: 2", *lines) + b"{}"), 431, "headers_too_large")


def test_a_target_above_the_limit(pair):
    reply = ask(pair, head("content-length: 2", path="/v1/" + "a" * 100_000) + b"{}")
    assert reply.status in (414, 431), reply


FRAMING = {
    "both lengths": (
        ["transfer-encoding: chunked", f"content-length: {len(GOOD_BODY)}"],
        GOOD_BODY,
    ),
    "two lengths": (["content-length: 5", "content-length: 6"], b"hello!"),
    "a list of lengths": (["content-length: 5, 6"], b"hello!"),
    "a negative length": (["content-length: -1"], b""),
    "a length with a plus": (["content-length: +5"], b"hello"),
    "a length that is hex": (["content-length: 0x10"], b"0123456789abcdef"),
    "an overflowing length": (["content-length: 184467440737095516160"], b""),
    "unknown coding": (["transfer-encoding: rot13"], b""),
    "chunked not last": (["transfer-encoding: chunked, gzip"], b"0\r\n\r\n"),
    "obfuscated coding": (["transfer-encoding: xchunked"], b"0\r\n\r\n"),
    "two codings": (["transfer-encoding: chunked", "transfer-encoding: identity"], b"0\r\n\r\n"),
    "space before the colon": (["content-length : 5"], b"hello"),
    "a folded header": (["content-length: 5", " folded"], b"hello"),
    "a NUL in a header": (["content-length: 2", "x-nul: a\0b"], b"{}"),
    "a bare CR in a header": (["content-length: 2", "x-cr: a\rb"], b"{}"),
    "no host": (None, b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}"),
    "no HTTP": (None, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello\r\n\r\n"),
    "a NUL in the target": (None, b"POST /v1/\0chat HTTP/1.1\r\nhost: x\r\n\r\n"),
    "a line without a version": (None, b"GET /v1/models\r\n\r\n"),
    "version 9": (None, b"GET /v1/models HTTP/9.9\r\nhost: x\r\n\r\n"),
    "two hosts": (["host: y", "content-length: 2"], b"{}"),
    "HTTP/2": (None, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9),
    "bare line feeds": (None, b"POST /v1/chat/completions HTTP/1.1\nhost: x\n\n"),
    "a bare line feed in the head": (["x-a: b\ncontent-length: 3", "content-length: 2"], b"{}"),
    "a space before the colon of a coding": (["transfer-encoding : chunked"], b"0\r\n\r\n"),
    "a vertical tab before a coding": (["transfer-encoding: \x0bchunked"], b"0\r\n\r\n"),
    "chunked twice": (["transfer-encoding: chunked, chunked"], b"0\r\n\r\n"),
    "a coding before chunked": (["transfer-encoding: gzip, chunked"], b"0\r\n\r\n"),
    "a coding in quotes": (['transfer-encoding: "chunked"'], b"0\r\n\r\n"),
    "an empty coding": (["transfer-encoding:"], b"0\r\n\r\n"),
    "chunks in HTTP/1.0": (
        None,
        b"POST /v1/chat/completions HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "a length in the trailers": (
        ["transfer-encoding: chunked"],
        b"2\r\n{}\r\n0\r\ncontent-length: 5\r\n\r\n",
    ),
}

CHUNKED_BODY = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD_BODY), GOOD_BODY)
LENGTH = f"content-length: {len(GOOD_BODY)}"
# Name -> a request that can be read in one way only, however odd it looks.
ODD = {
    "a whole URL": head(LENGTH, path="http://x/v1/chat/completions") + GOOD_BODY,
    "the same length twice": head(LENGTH, LENGTH) + GOOD_BODY,
    "a coding in capitals": head("Transfer-Encoding: CHUNKED") + CHUNKED_BODY,
    "tabs and spaces around a coding": head("transfer-encoding:\t chunked \t") + CHUNKED_BODY,
    "an offer of HTTP/2": head("connection: upgrade", "upgrade: h2c", LENGTH) + GOOD_BODY,
    "a coding that is none": head("content-encoding: identity", LENGTH) + GOOD_BODY,
    "trailers": head("transfer-encoding: chunked")
    + CHUNKED_BODY[:-2]
    + b"authorization: Bearer x\r\nx-request-id: forged\r\n\r\n",
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD.keys())
def test_odd_and_clear(pair, sent):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(
            sent + b"GET /v1/models/solo-1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        text = connection.read_all()
    assert text.count(b"HTTP/1.1 200") == 2, text
    assert text.index(b"chatcmpl-fake") < text.index(b'"solo-1"'), "where the next one begins"
    assert b"forged" not in text


def test_a_tunnel_is_no_route(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n")
        assert_refused(connection.read_reply(), 404, "unknown_route")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP", "gzip, gzip", "x"])
def test_compressed_bodies_are_refused_unread(pair, coding):
    bomb = gzip.compress(b" " * 10_000_000)
    lines = [f"content-encoding: {coding}", f"content-length: {len(bomb)}"]
    assert_refused(ask(pair, head(*lines) + bomb), 400, "bad_request")
    assert_refused(ask(pair, head(*lines, "expect: 100-continue")), 400, "bad_request")

BAD_CHUNKS = {
    "not hex": b"zz\r\nhello\r\n0\r\n\r\n",
    "empty size": b"\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "overflowing size": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n",
    "largest size": b"FFFFFFFFFFFFFFFF\r\nhello\r\n",
    "size too small": b"2\r\nhello\r\n0\r\n\r\n",
    "no line end": b"5hello0",
    "endless size": b"0" * 100_000,
    "endless extension": b"5;" + b"x" * 100_000,
    "a NUL for a size": b"\0\0\0\0\r\n",
}


@pytest.mark.parametrize("lines, body", FRAMING.values(), ids=FRAMING.keys())
def test_framing_that_two_servers_could_read_differently(pair, lines, body):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(body if lines is None else head(*lines) + body)
        reply = connection.read_reply()
        assert reply is not None and reply.status in (400, 413, 501, 505), reply
        reply.error()
        assert connection.is_closed_by_peer(), "nothing more may be read off such a connection"


@pytest.mark.parametrize("chunks", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_bad_chunks(pair, chunks):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head("transfer-encoding: chunked") + chunks)
        reply = connection.read_reply()
        # 408: no end of the line came in time.
        assert reply is not None and reply.status in (400, 408, 413), reply
        reply.error()
        assert connection.is_closed_by_peer()


def test_chunked_body_is_understood_at_every_split(pair):
    middle = len(GOOD_BODY) // 2
    parts = [GOOD_BODY[:middle], GOOD_BODY[middle:]]
    data = (
        head("transfer-encoding: chunked", "connection: close")
        + b"".join(b"%X;name=value\r\n%s\r\n" % (len(part), part) for part in parts)
        + b"0\r\nx-trailer: 1\r\n\r\n"
    )
    for size in (1, 7, len(data)):
        with RawConnection(pair.gateway.address) as connection:
            for begin in range(0, len(data), size):
                connection.send(data[begin : begin + size])
            assert connection.read_reply().status == 200


@pytest.mark.parametrize(
    "sent", [b"POST /v1/chat", head()[:-2], b""], ids=["half a line", "half a head", "nothing"]
)
def test_slow_headers(pair, sent):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(sent)
        assert pair.gateway.chat("solo-0").status == 200, "others are served meanwhile"
        if sent:
            assert_refused(connection.read_reply(), 408, "request_timeout")
        assert connection.is_closed_by_peer()


def test_headers_one_byte_at_a_time_do_not_renew_their_deadline(pair):
    data = head("content-length: 2")
    with RawConnection(pair.gateway.address) as connection:
        for byte in data[:-1]:
            connection.send(bytes([byte]))
            time.sleep(0.05)
        reply = connection.read_reply()
        # The connection may already be reset by the bytes that came too late.
        assert reply is None or reply.status == 408


def test_slow_body(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head("content-length: 100") + b'{"model"')
        assert_refused(connection.read_reply(), 408, "request_timeout")


@pytest.mark.parametrize(
    "begin, piece",
    [
        (head("content-length: 4000000"), b" "),
        (head("transfer-encoding: chunked"), b"1\r\n \r\n"),
    ],
    ids=["length", "chunks"],
)
def test_body_one_byte_at_a_time_does_not_renew_its_deadline(pair, begin, piece):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(begin)
        give_up_at = time.monotonic() + DEADLINE_S
        while not select.select([connection.socket], [], [], 0.1)[0]:
            assert time.monotonic() < give_up_at
            connection.send(piece)
        assert_refused(connection.read_reply(), 408, "request_timeout")


def test_client_that_leaves_inside_the_body(pair):
    for _ in range(20):
        with RawConnection(pair.gateway.address) as connection:
            connection.send(head("content-length: 100") + b'{"model"')


def test_empty_lines_before_a_request_are_ignored(pair):
    with RawConnection(pair.gateway.address) as connection:
        for lines in (b"\r\n", b"", b"\r\n" * 100):
            connection.send(lines + with_body(GOOD_BODY))
            assert connection.read_reply().status == 200
        connection.send(b"\r\n" * 8200)
        assert_refused(connection.read_reply(), 431, "headers_too_large")
        assert connection.is_closed_by_peer()


def test_bytes_after_close_are_not_a_request(pair):
    attempts = len(pair.fake.attempts())
    data = head("connection: close", f"content-length: {len(GOOD_BODY)}") + GOOD_BODY
    with RawConnection(pair.gateway.address) as connection:
        connection.send(data + with_body(GOOD_BODY) + b"\0\xff garbage")
        reply = connection.read_reply()
        assert reply.status == 200
        assert reply.header("connection") == "close"
        assert connection.is_closed_by_peer()
    assert len(pair.fake.attempts()) == attempts + 1


def test_garbage_between_requests(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(with_body(GOOD_BODY))
        assert connection.read_reply().status == 200
        connection.send(b"\0\0\0\0 garbage\r\n\r\n")
        assert_refused(connection.read_reply(), 400, "bad_request")
        assert connection.is_closed_by_peer()


def test_pipelined_requests_are_answered_in_order(pair):
    requests = [
        b"GET /v1/models/solo-1 HTTP/1.1\r\nhost: x\r\n\r\n",
        with_body(GOOD_BODY),
        b"GET /v1/models/solo-2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ]
    with RawConnection(pair.gateway.address) as connection:
        connection.send(b"".join(requests))
        text = connection.read_all()
    bodies = [text.index(b'"solo-1"'), text.index(b"chatcmpl-fake"), text.index(b'"solo-2"')]
    assert bodies == sorted(bodies)
    assert text.count(b"HTTP/1.1 200") == 3


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v2/models",
        "/v1/../etc/passwd",
        "//v1/models",
        "/metrics",
    ],
)
def test_unknown_routes(pair, path):
    reply = pair.gateway.post(path, {})
    assert_refused(reply, 404, "unknown_route")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"])
def test_wrong_methods(pair, method):
    data = f"{method} /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with RawConnection(pair.gateway.address) as connection:
        connection.send(data.encode())
        text = connection.read_all()
    assert text.startswith(b"HTTP/1.1 405 "), text
    assert b"\r\nallow: post" in text.lower()


def test_query_strings_are_no_part_of_the_route(pair):
    assert pair.gateway.post("/v1/chat/completions?beta=true", GOOD_BODY).status == 200


def test_http_1_0_is_answered_and_closed(pair):
    with RawConnection(pair.gateway.address) as connection:
        connection.send(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert b" 200 " in connection.read_all().split(b"\r\n")[0]


def test_http_1_0_gets_no_interim_answer(pair):
    begin = b"POST /v1/chat/completions HTTP/1.0\r\nexpect: 100-continue\r\n"
    with RawConnection(pair.gateway.address) as connection:
        connection.send(begin + b"content-length: %d\r\n\r\n" % len(GOOD_BODY))
        # Others are served, so that an interim answer would have been sent.
        assert pair.gateway.get("/v1/models").status == 200
        connection.send(GOOD_BODY)
        text = connection.read_all()
    assert text.startswith(b"HTTP/1.1 ") and not text.startswith(b"HTTP/1.1 100 "), text


def test_trailers_are_no_headers(pair):
    trailers = b"host: y\r\nx-candor-timeout-ms: no number\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(GOOD_BODY), GOOD_BODY)
    assert ask(pair, head("transfer-encoding: chunked") + chunks + trailers).status == 200


def test_random_bytes(pair):
    chance = random.Random(7)
    for _ in range(200):
        with RawConnection(pair.gateway.address) as connection:
            connection.send(chance.randbytes(chance.randint(1, 2000)) + b"\r\n\r\n")
            connection.read_reply()
