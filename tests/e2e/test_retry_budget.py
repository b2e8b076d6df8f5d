"""The fleet's budget for further attempts: fallback must not multiply an outage."""

import signal
import time

from support.programs import wait_until
from support.stack import Pair, ask

NO_BUDGET = {"retry_budget": {"ratio": 0, "min_per_second": 0}}
PAIR = {"routes": {"openai": 6}, "ratelimitd_config": NO_BUDGET}
METRIC = 'candor_ratelimitd_retries_total{result="%s"}'


def test_beyond_it_the_client_is_told_of_the_failure_there_was(pair):
    route = pair.duo()
    route.first.next(status=429, headers={"retry-after": "7"})

    reply = pair.gateway.chat(route.model)

    assert (reply.status, reply.kind()) == (429, "rate_limited"), reply
    assert reply.header("x-should-retry") == "true"
    assert f"{route.second.name}:refused(retry_budget):0ms" in reply.header("x-candor-attempts")
    [refused] = reply.error()["candor"]["targets"]
    assert (refused["provider"], refused["reason"]) == (route.second.name, "retry_budget")
    assert refused["retry_after_ms"] > 0
    assert route.second.attempt_count() == 0
    # Nothing keeps the next request from the second target, so its wait is none of the first's.
    assert reply.wait_ms() < 7000
    assert pair.gateway.chat(route.model).status == 200


def test_passing_over_a_refused_target_is_no_further_attempt(pair):
    route = pair.duo()
    route.first.next(status=429, headers={"retry-after": "60"})
    pair.gateway.chat(route.model)

    for _ in range(5):
        reply = pair.gateway.chat(route.model)
        assert reply.status == 200
        assert reply.header("x-candor-attempts").startswith(f"{route.first.name}:refused(backoff)")


def test_what_the_budget_refused_is_no_fact_about_the_target(programs):
    """The gateway must not remember it for the time when ratelimitd is away."""
    pair = Pair(programs, gateways=0, routes={"openai": 1}, ratelimitd_config=NO_BUDGET)
    pair.config["ratelimitd"] = ask(pair.ratelimitd.address, deadline="1s")
    pair.gateway = programs.gateway(pair.config)
    route = pair.duo()
    route.first.next(status=500)
    assert pair.gateway.chat(route.model).status == 500
    pair.ratelimitd.pause()
    try:
        route.first.next(status=500)
        reply = pair.gateway.chat(route.model)
    finally:
        pair.ratelimitd.resume()

    assert reply.status == 200, "without ratelimitd, fallback goes on as ever"
    assert reply.header("x-candor-degraded") == "ratelimitd_unreachable"
    wait_until(
        lambda: pair.gateway.chat(route.model).header("x-candor-degraded") is None,
        "ratelimitd is back",
    )


def test_it_is_counted_and_can_be_changed(programs):
    pair = Pair(programs, routes={"openai": 4}, ratelimitd_config=NO_BUDGET)
    refused = pair.duo()
    refused.first.next(status=500)
    assert pair.gateway.chat(refused.model).status == 500
    metrics = pair.ratelimitd.metrics()
    assert (metrics[METRIC % "granted"], metrics[METRIC % "refused"]) == (0, 1)

    text = pair.ratelimitd.config_path.read_text()
    pair.ratelimitd.write_config(text.replace('"min_per_second": 0', '"min_per_second": 1'))
    pair.ratelimitd.send(signal.SIGHUP)
    wait_until(lambda: "config_reloaded" in pair.ratelimitd.log(), "the change is in effect")

    granted = pair.duo()
    granted.first.next(status=500)
    assert pair.gateway.chat(granted.model).status == 200
    metrics = pair.ratelimitd.metrics()
    assert (metrics[METRIC % "granted"], metrics[METRIC % "refused"]) == (1, 1)


def test_by_default_a_few_fallbacks_are_always_free(programs):
    """30 in ten seconds, and a fifth of the requests."""
    pair = Pair(programs, routes={"openai": 40}, ratelimitd_config={"retry_budget": {}})
    outcomes, began = [], time.monotonic()
    for _ in range(40):
        route = pair.duo()
        route.first.next(status=500)
        outcomes.append(pair.gateway.chat(route.model).status)

    assert outcomes[:30] == [200] * 30
    is_in_time = time.monotonic() - began < 10
    assert 500 in outcomes[30:] or not is_in_time, "a slow machine gets on past the ten seconds"
