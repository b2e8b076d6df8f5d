"""Two gateways, one ratelimitd: what one has met, the next request of the other obeys."""

import concurrent.futures
import time

import pytest

from support.programs import wait_until
from support.stack import Pair, probe_among, wait_for_the_next_probe

BREAKER = {"consecutive": 3, "lump": "0s", "open": "300s", "open_max": "300s", "probe_successes": 1}
# One that lets a probe through soon.
SHORT = {**BREAKER, "open": "1s", "open_max": "1s"}
PAIR = {
    "gateways": 2,
    "gateway_config": {"threads": 2},
    "ratelimitd_config": {"defaults": {"breaker": BREAKER}},
}


def open_breaker(pair, route):
    """Fails often enough through the first gateway and returns the refusal that follows."""
    for _ in range(BREAKER["consecutive"]):
        route.first.next(status=500)
        assert pair.gateways[0].chat(route.model).status == 500
    return pair.gateways[0].chat(route.model)


@pytest.fixture
def probing(programs):
    """Two whose breakers are open for a second only."""
    return Pair(programs, gateways=2, routes=1, ratelimitd_config={"defaults": {"breaker": SHORT}})


def test_a_429_of_one_is_obeyed_by_the_other(pair):
    route = pair.solo()
    route.first.always(status=429, headers={"retry-after": "20"})
    assert pair.gateways[0].chat(route.model).status == 429

    reply = pair.gateways[1].chat(route.model)

    assert reply.status == 503
    assert reply.kind() == "no_provider_available"
    assert 19_000 <= reply.wait_ms() <= 25_100
    assert reply.header("x-candor-provider") == "none"
    [target] = reply.error()["candor"]["targets"]
    assert target["provider"] == route.first.name
    assert target["reason"] == "backoff"
    assert target["retry_after_ms"] >= 19_000
    assert route.first.attempt_count() == 1


def test_a_429_of_the_whole_account_holds_for_its_other_models(programs):
    pair = Pair(programs, gateways=0)
    account = pair.fake.named("account")
    models = [
        {"name": name, "targets": [{"provider": "account", "model": name}]}
        for name in ("small", "large")
    ]
    config = {**pair.config, "providers": [pair.openai_provider("account")], "models": models}
    gateway = programs.gateway(config, "gateway")
    message = "Too many requests in flight for your account."
    account.next(status=429, headers={"retry-after": "20"}, body={"error": {"message": message}})
    assert gateway.chat("small").status == 429

    reply = gateway.chat("large")

    assert reply.kind() == "no_provider_available"
    assert account.attempt_count() == 1


@pytest.mark.parametrize("stream", [False, True])
def test_the_other_falls_back_without_asking_the_failed_one(pair, stream):
    route = pair.duo()
    route.first.always(status=429, headers={"retry-after": "20"})
    pair.gateways[0].chat(route.model)

    reply = pair.gateways[1].chat(route.model, stream=stream)

    assert reply.status == 200
    trail = reply.header("x-candor-attempts").split(", ")
    assert trail[0].startswith(f"{route.first.name}:refused(backoff):")
    assert trail[1].startswith(f"{route.second.name}:ok:")
    assert route.attempt_counts() == [1, 2]


def test_breaker_opened_through_one_is_open_for_the_other(pair):
    route = pair.solo()
    refused = open_breaker(pair, route)
    assert refused.kind() == "no_provider_available"

    reply = pair.gateways[1].chat(route.model)

    assert reply.status == 503
    assert reply.error()["candor"]["targets"][0]["reason"] == "breaker"
    assert route.first.attempt_count() == BREAKER["consecutive"]


def test_breaker_counts_failures_of_both_together(pair):
    route = pair.solo()
    route.first.always(status=500)
    for i in range(BREAKER["consecutive"]):
        assert pair.gateways[i % 2].chat(route.model).status == 500

    assert [g.chat(route.model).status for g in pair.gateways] == [503, 503]


def test_exactly_one_of_many_concurrent_requests_is_the_probe(probing):
    pair = probing
    route = pair.solo()
    refused = open_breaker(pair, route)
    before = route.first.attempt_count()
    route.first.always(hold=True)
    told = time.time() + refused.wait_ms() / 1000
    wait_for_the_next_probe(refused)

    replies = probe_among(24, route, lambda i: pair.gateways[i % 2].chat(route.model))

    assert sorted(reply.status for reply in replies) == [200] + [503] * 23
    assert route.first.attempt_count() == before + 1
    assert route.first.attempts()[-1].started_at >= told
    reasons = {r.error()["candor"]["targets"][0]["reason"] for r in replies if r.status == 503}
    assert reasons == {"probing"}


def test_a_probe_stays_alone_though_the_first_target_would_have_taken_less_time(programs):
    breaker = {**SHORT, "probe_lease": "100ms"}
    pair = Pair(programs, gateways=0, routes=1, ratelimitd_config={"defaults": {"breaker": breaker}})
    route = pair.duo()
    for provider in pair.config["providers"]:
        if provider["name"] == route.first.name:
            provider["timeouts"] = {**provider["timeouts"], "total": "1500ms"}
    one, other = (programs.gateway(pair.config, name) for name in ("one", "other"))
    route.first.always(status=401)
    route.second.next(BREAKER["consecutive"], status=500)
    for _ in range(BREAKER["consecutive"]):
        assert one.chat(route.model).status == 500
    route.second.always(delay_ms=2500)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        is_answered = lambda: one.chat(route.model).status == 200  # noqa: E731
        answered = pool.submit(wait_until, is_answered, "the probe is answered")
        route.second.wait_for_attempts(BREAKER["consecutive"] + 1)
        while not answered.done():
            other.chat(route.model)
        answered.result()

    probe, *later = route.second.attempts()[BREAKER["consecutive"] :]
    assert all(attempt.started_at >= probe.ended_at for attempt in later)


def test_a_failed_probe_opens_again_for_both(programs):
    # Twice as long for the second time, which is longer than the test may take.
    breaker = {**BREAKER, "open": "2s"}
    config = {"defaults": {"breaker": breaker}}
    pair = Pair(programs, gateways=2, routes=1, ratelimitd_config=config)
    route = pair.solo()
    refused = open_breaker(pair, route)
    wait_for_the_next_probe(refused)
    route.first.next(status=500)
    assert pair.gateways[1].chat(route.model).status == 500

    assert [g.chat(route.model).status for g in pair.gateways] == [503, 503]


def test_nobody_asks_before_the_told_moment(pair):
    route = pair.solo()
    route.first.next(status=429, headers={"retry-after": "1"})
    assert pair.gateways[0].chat(route.model).status == 429
    wait_until(lambda: pair.gateways[1].chat(route.model).status == 200, "the second may ask")

    attempts = route.first.attempts()
    assert len(attempts) == 2
    assert attempts[1].started_at - attempts[0].started_at >= 1.0


def test_a_wrong_key_blocks_the_provider_for_both(pair):
    route = pair.duo()
    route.first.always(status=401)
    assert pair.gateways[0].chat(route.model).status == 200

    reply = pair.gateways[1].chat(route.model)

    assert f"{route.first.name}:refused(auth):" in reply.header("x-candor-attempts")
    assert route.attempt_counts() == [1, 2]
