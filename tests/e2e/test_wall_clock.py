"""Somebody sets the clock of a machine: nothing opens, closes or hangs for it."""

import datetime
import time

import pytest

from support.programs import wait_until
from support.stack import Pair
from support.wall_clock import WallClock

HOUR = 3600
YEAR = 365 * 24 * HOUR
STEPS = [HOUR, -HOUR, YEAR, -YEAR]
BREAKER = {"consecutive": 2, "lump": "0s", "open": "300s", "open_max": "300s"}
# Between two readings of a clock.
SLACK_S = 2


def date(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def seconds(text):
    return float(text.rstrip("s"))


def facts(ratelimitd, provider):
    """{model, or None for the provider itself: its health}, without the healthy ones."""
    told = ratelimitd.provider(provider)
    all_of_it = {None: told["health"], **{t["model"]: t["health"] for t in told.get("targets", [])}}
    return {key: h for key, h in all_of_it.items() if h["state"] != "HEALTH_STATE_HEALTHY"}


@pytest.mark.parametrize("stepped", ["ratelimitd", "gateway"])
def test_a_step_changes_nothing(programs, tmp_path, stepped):
    clock = WallClock(tmp_path)
    pair = Pair(
        programs,
        routes={"openai": 12},
        ratelimitd_config={"defaults": {"breaker": BREAKER}},
        ratelimitd_env=clock.env if stepped == "ratelimitd" else None,
        gateway_env=clock.env if stepped == "gateway" else None,
    )
    cooled, opened, blocked, healthy = (pair.solo() for _ in range(4))
    cooled.first.always(status=429, headers={"retry-after": "600"})
    opened.first.always(status=500)
    blocked.first.always(status=401)
    for route in (cooled, opened, opened, blocked):
        assert pair.gateway.chat(route.model).status in (429, 500, 502)
    troubled = [cooled, opened, blocked]
    read_at = time.monotonic()
    before = {r.model: facts(pair.ratelimitd, r.first.name) for r in troubled}
    assert all(before.values())

    for step in STEPS:
        short = pair.solo()
        short.first.next(status=429, headers={"retry-after": "1"})
        assert pair.gateway.chat(short.model).status == 429
        healthy.first.next(chunk_delay_ms=50, chunks=6)
        with pair.gateway.open_chat_stream(healthy.model) as stream:
            stream.read_until(b"Honest")
            clock.step(step)
            assert stream.read_all().body.endswith(b"data: [DONE]\n\n")

        for route in troubled:
            reply = pair.gateway.chat(route.model)
            assert reply.kind() == "no_provider_available", (step, reply)
            assert reply.header("x-candor-degraded") is None
            after = facts(pair.ratelimitd, route.first.name)
            passed = time.monotonic() - read_at
            assert after.keys() == before[route.model].keys()
            for key, now in after.items():
                then = before[route.model][key]
                assert now["state"] == then["state"]
                left = seconds(then["remaining"]) - seconds(now["remaining"])
                assert 0 <= left <= passed + SLACK_S, (step, key)
                if stepped == "ratelimitd":
                    # People are told the time by the clock that has been set.
                    assert abs(date(now["since"]) - date(then["since"]) - step) < SLACK_S
        assert pair.gateway.chat(healthy.model).status == 200
        wait_until(lambda: pair.gateway.chat(short.model).status == 200, "a short wait ends")
    assert [route.first.attempt_count() for route in troubled] == [1, 2, 1]
    if stepped == "gateway":
        # libfaketime moves an absolute timer of the monotonic clock, too: one that the loop sets for
        # "at once" may then fire in a year, and the drain waits for it. No kernel does that.
        pair.gateway.kill()


WAITS = {"RATE_LIMITED": 1800, "QUOTA_EXHAUSTED": 48 * HOUR}


@pytest.mark.parametrize("step", [600, *STEPS])
def test_a_step_between_two_lives_is_an_error_of_no_more_than_itself(programs, tmp_path, step):
    clock = WallClock(tmp_path)
    config = {
        "store": {"kind": "sqlite", "path": str(tmp_path / "state.db")},
        "defaults": {"backoff": {"ceiling": "1h"}},
    }
    first = programs.ratelimitd(config, env=clock.env)
    reported_at = time.monotonic()
    for number, (kind, wait_s) in enumerate(WAITS.items(), 1):
        attempt = {
            "sequence_number": number,
            "target": {"provider": kind, "model": "m"},
            "kind": f"OUTCOME_KIND_{kind}",
            "retry_after_ms": wait_s * 1000,
        }
        first.call("AdmissionService/Report", {"reporter": "gateway", "report": attempt})
    [before] = [{kind: facts(first, kind) for kind in WAITS}]
    read_at = time.monotonic()
    first.kill()
    clock.step(step)

    second = programs.ratelimitd(config, "ratelimitd-second", clock.env)

    known = second.call("ProviderHealthService/ListProviders").get("providers", [])
    known = [provider["name"] for provider in known]
    for kind in WAITS:
        [then] = [seconds(health["remaining"]) for health in before[kind].values()]
        after = facts(second, kind) if kind in known else {}
        passed = time.monotonic() - read_at
        [now] = [seconds(health["remaining"]) for health in after.values()] or [0]
        # It was kept as long as it was when it was reported.
        assert now <= then + (read_at - reported_at), "nothing gets longer"
        assert now >= then - max(step, 0) - passed - SLACK_S, "nor shorter than the error"
        assert bool(after) == (then > step), kind
    second.stop()
    assert "store_damaged" not in second.log()
