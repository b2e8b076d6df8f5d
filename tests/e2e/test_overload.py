"""No room: the gateway turns the dearest away first, truthfully, and serves the others."""

import contextlib
import json
import select

import pytest

from support.http_client import DEADLINE_S, RawConnection
from support.programs import chat_request, raw_chat, wait_until
from support.stack import Pair

LARGE = 1_500_000  # bytes of a request; four times as much has to be free for a new one
LIMITS = {"memory": "8MiB", "body": "2MiB"}
HELD = "candor_gateway_held_memory_bytes"
ENDLESS = {"chunks": 1_000_000, "chunk_delay_ms": 50}
TOLD_AT_A_TIME = 128  # of those for whom there is no connection
MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def pair(programs):
    return Pair(programs, routes={"openai": 4, "gemini": 1}, gateway_config={"limits": LIMITS})


def open_large_stream(pair, route):
    return pair.gateway.open_chat_stream(route.model, user="x" * LARGE)


def assert_shed(reply):
    assert (reply.status, reply.kind()) == (503, "gateway_overloaded"), reply
    assert reply.error()["candor"]["fault"] == "gateway"
    assert reply.header("x-should-retry") == "true"
    assert 1000 <= reply.wait_ms() <= 2000


def wait_until_nothing_is_held(pair):
    wait_until(lambda: pair.gateway.metrics()[HELD] == 0, "all memory is given back")


def wait_for_a_word_on(connections):
    readable, _, _ = select.select([c.socket for c in connections], [], [], DEADLINE_S)
    return next(c for c in connections if c.socket in readable)


def head_of_a_request(length, *more):
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", "content-type: application/json"]
    return "\r\n".join([*lines, f"content-length: {length}", *more, "", ""]).encode()


class Announced:
    """A request that was let in by its head; its body is still to come."""

    def __init__(self, gateway, model, **fields):
        self._body = json.dumps(chat_request(model, **fields)).encode()
        self.connection = RawConnection(gateway.address)
        self.connection.send(head_of_a_request(len(self._body), "expect: 100-continue"))
        assert self.connection.socket.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"

    def send_body(self):
        self.connection.send(self._body)
        return self.connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def test_large_requests_are_turned_away_and_small_ones_served(pair):
    route = pair.solo()
    route.first.next(times=2, **ENDLESS)
    with open_large_stream(pair, route), open_large_stream(pair, route):
        assert pair.gateway.metrics()[HELD] >= 2 * LARGE
        waits = set()
        for _ in range(8):
            reply = pair.gateway.chat(route.model, user="x" * LARGE)
            assert_shed(reply)
            waits.add(reply.wait_ms())
        assert len(waits) > 1, "a crowd must not come back in one moment"
        assert pair.gateway.metrics()['candor_gateway_shed_total{what="body"}'] == 8
        for _ in range(5):
            assert pair.gateway.chat(route.model).status == 200
    assert route.first.attempt_count() == 2 + 5

    wait_until_nothing_is_held(pair)
    assert pair.gateway.chat(route.model, user="x" * LARGE).status == 200


def test_an_announced_body_is_not_waited_for(pair):
    route = pair.solo()
    route.first.next(times=2, **ENDLESS)
    with open_large_stream(pair, route), open_large_stream(pair, route):
        with RawConnection(pair.gateway.address) as connection:
            connection.send(head_of_a_request(LARGE))
            assert_shed(connection.read_reply())
            assert connection.is_closed_by_peer()


def test_a_body_of_unknown_length_is_stopped_where_there_is_no_room_for_it(pair):
    route = pair.solo()
    route.first.next(times=2, **ENDLESS)
    with open_large_stream(pair, route), open_large_stream(pair, route):
        with RawConnection(pair.gateway.address) as connection:
            connection.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
            )
            for _ in range(15):
                connection.send(b"186a0\r\n" + b" " * 100_000 + b"\r\n")
            assert_shed(connection.read_reply())


def test_an_answer_for_which_there_is_no_memory_left(pair):
    route = pair.solo()
    route.first.next(chunks=200, chunk_bytes=50_000)

    reply = pair.gateway.chat(route.model)

    assert_shed(reply)
    assert pair.gateway.metrics()['candor_gateway_shed_total{what="under_way"}'] == 1
    wait_until_nothing_is_held(pair)
    assert pair.gateway.chat(route.model).status == 200, "nobody blames the provider"


def test_an_answer_that_is_translated_counts_thrice(pair):
    route = pair.route_of("gemini")
    route.first.next(chunks=1, chunk_bytes=LARGE)
    assert pair.gateway.chat(route.model).status == 200
    route.first.next(chunks=2, chunk_bytes=LARGE)

    assert_shed(pair.gateway.chat(route.model))


def test_in_a_stream_that_has_begun_it_is_told_there(programs):
    limits = {"memory": "1MiB", "body": "256KiB"}
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": limits})
    route = pair.solo()
    events = ['data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}', "data: " + "x" * 2_000_000]
    route.first.next(events=events)

    reply = pair.gateway.chat(route.model, stream=True)

    assert reply.status == 200
    assert '"kind":"gateway_overloaded"' in reply.events()[-1]
    assert "[DONE]" not in reply.events()
    wait_until_nothing_is_held(pair)


def test_a_client_that_has_gone_gives_its_memory_back(pair):
    route = pair.solo()
    route.first.next(delay_ms=60_000)
    with RawConnection(pair.gateway.address) as connection:
        connection.send(head_of_a_request(LARGE) + b" " * 100_000)
        wait_until(lambda: pair.gateway.metrics()[HELD] >= LARGE, "the request is held")
    wait_until_nothing_is_held(pair)


def test_an_idle_connection_holds_nothing(pair):
    route = pair.solo()
    with RawConnection(pair.gateway.address) as connection:
        connection.send(raw_chat(route.model, user="x" * LARGE))
        assert connection.read_reply().status == 200
        wait_until_nothing_is_held(pair)


def test_too_many_requests_are_turned_away_before_their_bodies(programs):
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": {"inflight": 1}})
    route = pair.solo()
    route.first.next(**ENDLESS)
    with pair.gateway.open_chat_stream(route.model):
        with RawConnection(pair.gateway.address) as connection:
            connection.send(head_of_a_request(1000))
            assert_shed(connection.read_reply())
        assert pair.gateway.metrics()['candor_gateway_shed_total{what="request"}'] == 1


def test_whose_body_comes_when_the_places_are_taken_is_turned_away_too(programs):
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": {"inflight": 1}})
    route = pair.solo()
    route.first.next(**ENDLESS)
    with Announced(pair.gateway, route.model) as late:
        with pair.gateway.open_chat_stream(route.model):
            assert_shed(late.send_body().read_reply())
    assert route.first.attempt_count() == 1


def test_a_provider_is_not_asked_where_there_is_no_memory_for_the_translation(pair):
    route = pair.route_of("gemini")
    route.first.next(before_headers="stall")
    with (
        Announced(pair.gateway, route.model, user="x" * LARGE) as late,
        Announced(pair.gateway, route.model, user="x" * LARGE) as first,
    ):
        first.send_body()
        route.first.wait_for_attempts(1)
        assert_shed(late.send_body().read_reply())
    assert route.first.attempt_count() == 1
    wait_until_nothing_is_held(pair)


def test_of_too_many_connections_the_idle_ones_make_room(programs):
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": {"connections": 4}})
    route = pair.solo()
    route.first.next(**ENDLESS)
    with contextlib.ExitStack() as stack:
        stack.enter_context(pair.gateway.open_chat_stream(route.model))
        oldest, *others = [
            stack.enter_context(RawConnection(pair.gateway.address)) for _ in range(3)
        ]
        wait_until(
            lambda: pair.gateway.metrics()["candor_gateway_client_connections"] == 4, "all are open"
        )
        with RawConnection(pair.gateway.address) as new:
            new.send(MODELS)
            assert new.read_reply().status == 200
            assert oldest.is_closed_by_peer()
            closed = pair.gateway.metrics()["candor_gateway_idle_connections_closed_total"]
            assert closed == 1
            for other in others:
                other.send(MODELS)
                assert other.read_reply().status == 200


def test_a_connection_whose_request_has_come_is_no_idle_one(programs):
    limit = 300
    pair = Pair(programs, routes=1, doubles=False, gateway_config={"limits": {"connections": limit}})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawConnection(pair.gateway.address)) for _ in range(limit)]
        for client in clients:
            client.send(MODELS)
            assert client.read_reply().status == 200
        pair.gateway.pause()
        try:
            # The gateway finds the new one first, and last what the oldest has sent.
            clients.append(stack.enter_context(RawConnection(pair.gateway.address)))
            for client in reversed(clients):
                client.send(MODELS)
        finally:
            pair.gateway.resume()
        replies = [client.read_reply() for client in clients]
    assert None not in replies, f"{replies.count(None)} requests were lost"
    assert {reply.status for reply in replies} == {200}


def test_idle_connections_make_room_whichever_thread_they_belong_to(programs):
    config = {"threads": 8, "limits": {"connections": 4}}
    pair = Pair(programs, routes={"openai": 1}, doubles=False, gateway_config=config)
    with contextlib.ExitStack() as stack:
        idle = []
        for _ in range(24):
            new = stack.enter_context(RawConnection(pair.gateway.address))
            new.send(MODELS)
            assert new.read_reply().status == 200
            if len(idle) == 4:
                closed = wait_for_a_word_on(idle)
                assert closed.is_closed_by_peer()
                idle.remove(closed)
            idle.append(new)
        for kept in idle:
            kept.send(MODELS)
            assert kept.read_reply().status == 200
    metrics = pair.gateway.metrics()
    assert metrics["candor_gateway_idle_connections_closed_total"] == 20
    assert metrics['candor_gateway_shed_total{what="connection"}'] == 0


def test_connections_that_are_all_at_work_stay(programs):
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": {"connections": 2}})
    route = pair.solo()
    route.first.next(times=2, **ENDLESS)
    with pair.gateway.open_chat_stream(route.model), pair.gateway.open_chat_stream(route.model):
        with RawConnection(pair.gateway.address) as third:
            assert_shed(third.read_reply())
        assert pair.gateway.metrics()['candor_gateway_shed_total{what="connection"}'] == 1


def test_of_a_crowd_beyond_that_most_are_closed_without_a_word(programs):
    pair = Pair(programs, routes={"openai": 1}, gateway_config={"limits": {"connections": 1}})
    route = pair.solo()
    route.first.next(**ENDLESS)
    with pair.gateway.open_chat_stream(route.model) as stream, contextlib.ExitStack() as crowd:
        # They come while it looks away, so that it finds them all at once.
        pair.gateway.pause()
        try:
            all_of_them = [
                crowd.enter_context(RawConnection(pair.gateway.address))
                for _ in range(4 * TOLD_AT_A_TIME)
            ]
        finally:
            pair.gateway.resume()
        told = [reply for connection in all_of_them if (reply := connection.read_reply())]
        for reply in told:
            assert_shed(reply)
        assert TOLD_AT_A_TIME <= len(told) < 2 * TOLD_AT_A_TIME
        shed = pair.gateway.metrics()['candor_gateway_shed_total{what="connection"}']
        assert shed == len(all_of_them)
        assert pair.gateway.metrics()["candor_gateway_client_connections"] == 1
        assert stream.read_some(), "who was there before goes on"
    wait_until(lambda: pair.gateway.get("/v1/models").status == 200, "there is room again")
