"""The gateway's own limits: requests in flight and connections."""

import contextlib

from support.http_client import RawConnection
from support.programs import wait_until
from support.stack import Pair


def test_inflight_above_the_limit_is_503_at_once(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"inflight": 2}})
    route = pair.solo()
    route.first.next(times=2, chunks=1000, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model), pair.gateway.open_chat_stream(route.model):
        route.first.wait_for_attempts(2)
        reply = pair.gateway.chat(route.model)

        assert (reply.status, reply.kind()) == (503, "gateway_overloaded"), reply
        assert reply.error()["candor"]["fault"] == "gateway"
        assert reply.wait_ms() > 0
        assert reply.header("x-should-retry") == "true"
        assert route.first.attempt_count() == 2

    wait_until(lambda: pair.gateway.chat(route.model).status == 200, "room is made again")


def test_connections_above_the_limit_do_not_starve_those_inside(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"connections": 8}})
    route = pair.solo()
    with contextlib.ExitStack() as idle:
        for _ in range(30):
            idle.enter_context(RawConnection(pair.gateway.address))
        wait_until(lambda: pair.gateway.open_descriptors() < 100, "connections are bounded")
        assert pair.gateway.is_running()
        assert pair.gateway.chat(route.model).status == 200, "an idle one makes room"


def test_an_idle_connection_is_closed_after_its_time(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"idle_timeout": "2s"}})
    with RawConnection(pair.gateway.address) as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        assert connection.read_reply().status == 200
        assert connection.is_closed_by_peer()


def test_a_client_that_takes_nothing_of_its_answer_is_dropped(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"write_timeout": "500ms"}})
    route = pair.solo()
    route.first.next(chunks=2000, chunk_bytes=50_000)
    with pair.gateway.open_chat_stream(route.model):
        route.first.wait_for_outcome("client_gone")


def test_a_whole_answer_above_the_limit_is_malformed(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"response": "1MiB"}})
    route = pair.solo()
    route.first.next(chunks=100, chunk_bytes=50_000)

    reply = pair.gateway.chat(route.model)

    assert (reply.status, reply.kind()) == (502, "upstream_malformed")


def test_one_endless_line_of_a_stream_is_bounded(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(chunks=1, chunk_bytes=30_000_000)
    before = pair.gateway.resident_bytes()

    reply = pair.gateway.chat(route.model, stream=True)

    assert (reply.status, reply.kind()) == (502, "upstream_malformed")
    assert pair.gateway.resident_bytes() - before < 60_000_000
