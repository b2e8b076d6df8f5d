"""The four timeouts of a provider: connect, first byte, idle, total."""

import json
import socket

import pytest

# One timeout each, the others being far longer: which of two comes first is nothing to rely on.
PAIR = {
    "routes": 1,
    "hasty": {
        "mute": {"first_byte": "400ms"},
        "halting": {"idle": "300ms"},
        "endless": {"total": "1500ms"},
        "steady": {"first_byte": "2s", "idle": "2s"},
    },
}
DONE = "[DONE]"
# Which of the timeouts it was.
NOT_BEGUN = "did not begin its answer"
SILENT = "went silent"
NOT_FINISHED = "did not finish its answer"


def assert_timed_out(reply, why):
    assert (reply.status, reply.kind()) == (504, "upstream_timeout"), reply
    assert why in reply.error()["message"]
    assert reply.error()["candor"]["fault"] == "provider"
    assert reply.header("x-should-retry") == "true"


def assert_timed_out_in_stream(event, why):
    error = json.loads(event)["error"]
    assert error["candor"]["kind"] == "upstream_timeout"
    assert why in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_first_byte(pair, stream):
    route = pair.hasty("mute")
    route.first.next(delay_ms=60_000)

    assert_timed_out(pair.gateway.chat(route.model, stream=stream), NOT_BEGUN)
    assert route.first.wait_for_outcome("client_gone"), "the provider need not go on"


def test_first_byte_means_the_first_output(pair):
    route = pair.hasty("mute")
    route.first.next(cut_after_events=1, end="stall")

    assert_timed_out(pair.gateway.chat(route.model, stream=True), NOT_BEGUN)


def test_pings_do_not_stop_the_first_byte_timeout(pair):
    route = pair.hasty("mute")
    route.first.next(events=[": ping"] * 1000, chunk_delay_ms=100)

    assert_timed_out(pair.gateway.chat(route.model, stream=True), NOT_BEGUN)


def test_idle_inside_a_whole_answer(pair):
    route = pair.hasty("halting")
    route.first.next(cut_after_bytes=10, end="stall")

    assert_timed_out(pair.gateway.chat(route.model), SILENT)


def test_idle_stream(pair):
    route = pair.hasty("halting")
    route.first.next(cut_after_events=3, end="stall")

    reply = pair.gateway.chat(route.model, stream=True)

    events = reply.events()
    assert DONE not in events
    assert_timed_out_in_stream(events[-1], SILENT)
    assert not reply.is_cut


def test_total_of_a_stream_that_never_ends(pair):
    route = pair.hasty("endless")
    route.first.next(chunks=1_000_000, chunk_delay_ms=50)

    reply = pair.gateway.chat(route.model, stream=True)

    assert DONE not in reply.events()
    assert_timed_out_in_stream(reply.events()[-1], NOT_FINISHED)


def test_total_of_a_whole_answer_that_drips(pair):
    route = pair.hasty("endless")
    route.first.next(drip_bytes=1, chunk_delay_ms=50)

    assert_timed_out(pair.gateway.chat(route.model), NOT_FINISHED)


def test_a_slow_but_steady_answer_is_no_failure(pair):
    """It takes longer than the provider may be silent."""
    route = pair.hasty("steady")
    route.first.next(chunks=50, chunk_delay_ms=50)

    assert pair.gateway.chat(route.model, stream=True).events()[-1] == DONE


@pytest.mark.parametrize("stream", [False, True])
def test_a_timeout_falls_back(pair, stream):
    route = pair.hasty_duo("mute")
    route.first.next(delay_ms=60_000)

    reply = pair.gateway.chat(route.model, stream=stream)

    assert reply.status == 200
    assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:upstream_timeout:")


def test_connect(programs, pair):
    """A listener whose queue is full answers no connection attempt."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with _Crowd(address):
            config = {
                **pair.config,
                "providers": [
                    {
                        **pair.openai_provider("deaf", {"connect": "300ms"}),
                        "base_url": f"http://127.0.0.1:{address[1]}/v1",
                    }
                ],
                "models": [{"name": "m", "targets": [{"provider": "deaf", "model": "m"}]}],
            }
            reply = programs.gateway(config).chat("m")

    assert reply.status in (502, 504), reply
    assert reply.kind() in ("upstream_unreachable", "upstream_timeout")


class _Crowd:
    """Connections that fill a listener's queue."""

    def __init__(self, address):
        self._sockets = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(address)
            self._sockets.append(waiting)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for waiting in self._sockets:
            waiting.close()
