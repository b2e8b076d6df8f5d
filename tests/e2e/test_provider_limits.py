"""Limits configured in ratelimitd for a provider: all gateways together stay below them."""

import time

from support.http_client import RawConnection
from support.programs import raw_chat, wait_until
from support.stack import Pair, ask

LIMITS = {
    "first-0": {"requests_per_minute": 3},
    "first-1": {"requests_per_minute": 3},
    "first-2": {"concurrent": 1},
}


def start(programs):
    providers = [{"name": name, "limits": limits} for name, limits in LIMITS.items()]
    return Pair(programs, gateways=2, routes=3, ratelimitd_config={"providers": providers})


def test_requests_per_minute_hold_for_all_gateways_together(programs):
    pair = start(programs)
    route = pair.solo()
    began = time.monotonic()
    replies = [pair.gateways[number % 2].chat(route.model) for number in range(5)]
    took_ms = 1000 * (time.monotonic() - began)

    assert [reply.status for reply in replies] == [200, 200, 200, 503, 503]
    refused = replies[3]
    assert refused.kind() == "no_provider_available"
    assert refused.error()["candor"]["targets"][0]["reason"] == "limit"
    # Three a minute: one more every 20 s, and a second of spread.
    assert 20_000 - took_ms <= refused.wait_ms() <= 22_000
    assert route.first.attempt_count() == 3


def test_a_route_goes_on_with_the_next_target(programs):
    pair = start(programs)
    pair.solo()
    route = pair.duo()
    replies = [pair.gateway.chat(route.model) for _ in range(4)]

    assert {reply.status for reply in replies} == {200}
    assert f"{route.first.name}:refused(limit):" in replies[3].header("x-candor-attempts")
    assert route.attempt_counts() == [3, 1]


def test_concurrent_requests(programs):
    pair = start(programs)
    pair.solo(), pair.solo()
    route = pair.solo()
    route.first.next(chunks=1000, chunk_delay_ms=20)
    with pair.gateways[0].open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        assert pair.gateways[1].chat(route.model).kind() == "no_provider_available"

    wait_until(lambda: pair.gateways[1].chat(route.model).status == 200, "the place is free again")


def test_the_permit_of_a_client_that_has_left_is_given_back(programs):
    """It left while ratelimitd was asked, so nothing is ever sent by that permit."""
    providers = [{"name": "first-0", "limits": {"concurrent": 1}}]
    pair = Pair(
        programs,
        gateways=0,
        routes={"openai": 1},
        doubles=False,
        ratelimitd_config={"providers": providers},
    )
    config = {**pair.config, "ratelimitd": ask(pair.ratelimitd.address, deadline="10s")}
    gateway = programs.gateway(config)
    route = pair.solo()
    assert gateway.chat(route.model).status == 200

    def in_flight():
        return gateway.metrics()["candor_gateway_requests_in_flight"]

    pair.ratelimitd.pause()
    try:
        with RawConnection(gateway.address) as connection:
            connection.send(raw_chat(route.model))
            wait_until(lambda: in_flight() == 1, "it asks")
        gateway.get("/v1/models")  # By now the gateway has seen the client leave.
    finally:
        pair.ratelimitd.resume()

    wait_until(lambda: in_flight() == 0, "it is over")
    assert gateway.chat(route.model).status == 200
    assert route.first.attempt_count() == 2
