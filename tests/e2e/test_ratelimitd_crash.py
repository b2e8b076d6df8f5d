"""ratelimitd slow, killed and restarted: the answers say so, the service goes on, and what was
acknowledged is still there."""

import threading

import pytest

from support.programs import wait_until
from support.stack import Pair, ask

DEGRADED = "ratelimitd_unreachable"


class Load:
    """Requests without pause on a few threads, until the `with` ends."""

    def __init__(self, gateway, model, threads=4):
        self.replies = []
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(gateway, model)) for _ in range(threads)
        ]

    def _run(self, gateway, model):
        while not self._stopped.is_set():
            self.replies.append(gateway.chat(model))

    def wait_for_more(self, count, is_counted=lambda reply: True):
        already = len(self.replies)
        wait_until(
            lambda: sum(is_counted(r) for r in self.replies[already:]) >= count,
            f"{count} more such replies have come",
        )

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def is_degraded(reply):
    return reply.header("x-candor-degraded") is not None


def assert_answers_while_frozen(ratelimitd, gateway, model):
    ratelimitd.pause()
    try:
        replies = [gateway.chat(model) for _ in range(5)]
    finally:
        ratelimitd.resume()
    assert [reply.status for reply in replies] == [200] * 5
    assert all(is_degraded(reply) for reply in replies)


def sqlite(tmp_path, **config):
    return {"store": {"kind": "sqlite", "path": str(tmp_path / "state.db")}, **config}


def restart(programs, ratelimitd, config, name="ratelimitd-again"):
    """A new process on the address of the dead one."""
    return programs.ratelimitd({**config, "listen": ratelimitd.address}, name)


def test_kill_9_under_load_fails_no_request(programs, tmp_path):
    pair = Pair(programs, routes=1, ratelimitd_config=sqlite(tmp_path))
    route = pair.solo()
    with Load(pair.gateway, route.model) as load:
        load.wait_for_more(20)
        pair.ratelimitd.kill()
        load.wait_for_more(20, is_degraded)
        restart(programs, pair.ratelimitd, sqlite(tmp_path))
        load.wait_for_more(20, lambda reply: not is_degraded(reply))

    assert {reply.status for reply in load.replies} == {200}
    assert {r.header("x-candor-degraded") for r in load.replies} == {None, DEGRADED}


def test_acknowledged_30_minute_cooldown_survives_kill_9(programs, tmp_path):
    config = sqlite(tmp_path, defaults={"backoff": {"ceiling": "1h"}})
    pair = Pair(programs, routes=1, ratelimitd_config=config)
    route = pair.solo()
    route.first.always(status=429, headers={"retry-after": "1800"})
    assert pair.gateway.chat(route.model).status == 429
    assert pair.gateway.chat(route.model).kind() == "no_provider_available"
    # Waits for the acknowledgement of its reports.
    pair.gateway.stop()
    pair.ratelimitd.kill()

    restart(programs, pair.ratelimitd, config)
    # A gateway that remembers nothing itself.
    reply = programs.gateway(pair.config, "gateway-fresh").chat(route.model)

    assert reply.status == 503, reply
    assert not is_degraded(reply)
    assert 1_700_000 <= reply.wait_ms() <= 1_800_000 * 1.2 + 1100
    assert reply.header("x-should-retry") == "false"
    assert route.first.attempt_count() == 1


def test_in_memory_state_is_gone_after_a_crash_and_the_gateway_reconnects(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    pair.ratelimitd.kill()
    assert is_degraded(pair.gateway.chat(route.model))

    restart(programs, pair.ratelimitd, {})

    wait_until(lambda: not is_degraded(pair.gateway.chat(route.model)), "ratelimitd is asked again")


def test_gateway_starts_without_ratelimitd(programs):
    pair = Pair(programs, routes=1)
    pair.ratelimitd.kill()
    gateway = programs.gateway(pair.config, "gateway-alone")

    reply = gateway.chat(pair.solo().model)

    assert reply.status == 200
    assert reply.header("x-candor-degraded") == DEGRADED
    assert gateway.admin("/readyz").status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_failures_stay_true_without_ratelimitd(programs, stream):
    pair = Pair(programs, routes=2)
    pair.ratelimitd.kill()
    solo, duo = pair.solo(), pair.duo()
    solo.first.next(status=429, headers={"retry-after": "20"})
    duo.first.next(status=429, headers={"retry-after": "20"})

    alone = pair.gateway.chat(solo.model, stream=stream)
    assert alone.status == 429
    assert alone.wait_ms() >= 20_000
    assert is_degraded(alone)

    assert pair.gateway.chat(duo.model, stream=stream).status == 200
    assert duo.attempt_counts() == [1, 1]


def test_a_frozen_ratelimitd_costs_its_deadline_and_no_request(programs):
    pair = Pair(programs, routes=1)
    config = {**pair.config, "ratelimitd": ask(pair.ratelimitd.address, deadline="50ms")}
    gateway = programs.gateway(config, "gateway-hasty")
    route = pair.solo()
    assert gateway.chat(route.model).status == 200
    assert_answers_while_frozen(pair.ratelimitd, gateway, route.model)
    wait_until(lambda: not is_degraded(gateway.chat(route.model)), "ratelimitd is asked again")


def test_a_frozen_ratelimitd_stops_no_gateway_whose_patience_is_short(programs):
    pair = Pair(programs, routes=1, doubles=False, gateways=0)
    config = {**pair.config, "ratelimitd": ask(pair.ratelimitd.address, deadline="1ms")}
    gateway = programs.gateway(config)
    route = pair.solo()
    assert_answers_while_frozen(pair.ratelimitd, gateway, route.model)


def test_on_unreachable_deny_refuses_honestly(programs):
    pair = Pair(programs, routes=1)
    dead = pair.ratelimitd.address
    pair.ratelimitd.kill()
    config = {**pair.config, "ratelimitd": ask(dead, on_unreachable="deny")}

    route = pair.solo()
    reply = programs.gateway(config, "gateway-strict").chat(route.model)

    assert reply.status == 503
    assert reply.wait_ms() > 0
    assert reply.header("x-candor-degraded") == DEGRADED
    assert reply.header("x-candor-provider") == "none"
    reply.error()
    assert route.first.attempt_count() == 0


def test_requests_in_flight_survive_the_crash(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(chunk_delay_ms=100, chunks=5)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        pair.ratelimitd.kill()
        reply = stream.read_all()

    assert reply.body.endswith(b"data: [DONE]\n\n")
