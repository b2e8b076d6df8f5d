"""SIGTERM: not ready first, then what is in flight is finished, then exit 0."""

import contextlib
import http.client
import signal
import threading
import time

from support.http_client import RawConnection
from support.programs import wait_until
from support.stack import Pair

MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
CONNECTIONS = "candor_gateway_client_connections"
FIRST_REQUEST_S = 2  # that a new client has to send one to a gateway that drains


def drain(gateway):
    gateway.send(signal.SIGTERM)
    wait_until(lambda: gateway.admin("/readyz").status == 503, "it drains")


def test_gateway_finishes_a_stream_and_exits_0(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(hold_after_events=3)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        assert pair.gateway.admin("/readyz").status == 200
        pair.gateway.send(signal.SIGTERM)
        wait_until(lambda: pair.gateway.admin("/readyz").status == 503, "it is not ready")
        assert pair.gateway.admin("/healthz").status == 200
        route.first.release()
        reply = stream.read_all()

    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert pair.gateway.wait_for_exit() == 0


def test_gateway_gives_up_after_its_drain_time(programs):
    pair = Pair(programs, routes=1, gateway_config={"limits": {"drain": "500ms"}})
    route = pair.solo()
    route.first.next(chunks=1_000_000, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        assert pair.gateway.stop() == 0
        reply = stream.read_all()

    assert b"[DONE]" not in reply.body


def test_gateway_takes_no_new_request_while_it_drains(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(hold_after_events=3)
    with RawConnection(pair.gateway.address) as kept_alive:
        kept_alive.send(MODELS)
        assert kept_alive.read_reply().status == 200
        with pair.gateway.open_chat_stream(route.model) as stream:
            pair.gateway.send(signal.SIGTERM)
            assert kept_alive.is_closed_by_peer(), "an idle connection is closed at once"
            route.first.release()
            stream.read_all()

    assert pair.gateway.wait_for_exit() == 0


def test_a_request_that_has_come_when_the_drain_begins_is_answered(programs):
    pair = Pair(programs, routes=1, doubles=False)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawConnection(pair.gateway.address)) for _ in range(400)]
        for client in clients:
            client.send(MODELS)
            assert client.read_reply().status == 200
        pair.gateway.pause()
        for client in clients:
            client.send(MODELS)
        pair.gateway.send(signal.SIGTERM)
        pair.gateway.resume()
        replies = [client.read_reply() for client in clients]

    assert None not in replies, f"{replies.count(None)} requests were lost"
    assert {reply.status for reply in replies} == {200}
    assert pair.gateway.wait_for_exit() == 0


def test_a_new_connection_may_still_send_its_request_while_it_drains(programs):
    pair = Pair(programs, routes=1, doubles=False)
    route = pair.solo()
    route.first.next(hold_after_events=3)
    with (
        pair.gateway.open_chat_stream(route.model) as stream,
        RawConnection(pair.gateway.address) as used,
        RawConnection(pair.gateway.address) as client,
        RawConnection(pair.gateway.address) as silent,
    ):
        used.send(MODELS)
        assert used.read_reply().status == 200
        wait_until(lambda: pair.gateway.metrics()[CONNECTIONS] == 4, "all are accepted")
        began = time.monotonic()
        pair.gateway.send(signal.SIGTERM)
        assert used.is_closed_by_peer(), "it drains"
        client.send(MODELS)
        reply = client.read_reply()
        is_late = time.monotonic() - began > FIRST_REQUEST_S
        assert is_late or (reply.status, reply.header("connection")) == (200, "close")
        assert silent.is_closed_by_peer(), "it has waited for long enough"
        route.first.release()
        stream.read_all()
        assert pair.gateway.wait_for_exit() == 0


def test_whoever_comes_late_to_an_idle_thread_is_waited_for_too(programs):
    pair = Pair(programs, routes=2, doubles=False, gateway_config={"threads": 8})
    first, late = pair.solo(), pair.solo()
    first.first.next(hold_after_events=3)
    late.first.always(chunks=40, chunk_delay_ms=50)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(pair.gateway.open_chat_stream(first.model))
        drain(pair.gateway)
        stream.read_until(b"Honest")
        others = [
            stack.enter_context(pair.gateway.open_chat_stream(late.model)) for _ in range(8)
        ]
        first.first.release()
        assert stream.read_all().body.endswith(b"data: [DONE]\n\n")
        for other in others:
            assert other.read_all().body.endswith(b"data: [DONE]\n\n")
    assert pair.gateway.wait_for_exit() == 0


def test_callers_who_do_not_stop_coming_are_let_in_no_more_and_none_is_cut(programs):
    pair = Pair(programs, routes=1, doubles=False, gateway_config={"limits": {"drain": "6s"}})
    route = pair.solo()
    route.first.always(chunks=4, chunk_delay_ms=50)
    cut = []

    def call_until_refused():
        while True:
            try:
                reply = pair.gateway.chat(route.model, stream=True)
            except (ConnectionError, http.client.HTTPException):
                return
            if not reply.body.endswith(b"data: [DONE]\n\n"):
                cut.append(reply)

    callers = [threading.Thread(target=call_until_refused) for _ in range(8)]
    for caller in callers:
        caller.start()
    drain(pair.gateway)
    for caller in callers:
        caller.join()
    assert pair.gateway.wait_for_exit() == 0
    assert not cut


def test_ratelimitd_drains_and_the_gateway_goes_on(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    assert pair.gateway.chat(route.model).status == 200

    assert pair.ratelimitd.stop() == 0

    assert pair.gateway.chat(route.model).status == 200
    assert pair.gateway.admin("/readyz").status == 200, "ready depends on nobody else"


def test_ratelimitd_is_not_ready_before_it_refuses(programs):
    ratelimitd = programs.ratelimitd({"drain": "60s"})
    ratelimitd.send(signal.SIGTERM)

    wait_until(lambda: ratelimitd.admin("/readyz").status == 503, "it is not ready")
    assert ratelimitd.admin("/healthz").status == 200
    assert ratelimitd.call("ProviderHealthService/ListProviders", {}) == {}, "it still answers"
    ratelimitd.kill()


def test_second_signal_ends_at_once(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(chunks=1_000_000, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        drain(pair.gateway)
        pair.gateway.send(signal.SIGTERM)
        wait_until(lambda: not pair.gateway.is_running(), "it ends")
    assert pair.gateway.wait_for_exit() == 1
