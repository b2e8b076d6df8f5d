"""A short chaos run on each store; `scripts/chaos` runs longer ones. And a judge of chaos that lets
anything pass would be worse than none."""

import json
import os
import pathlib

import pytest

from chaos import faults, plan
from chaos.judge import Judge, Untrue
from chaos.report import growth, render
from chaos.run import Result, Run, Settings
from chaos.world import World
from support.http_client import Reply
from support.programs import ratelimitd_binary

SECONDS = 9


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_every_request_ends_in_the_truth(store, tmp_path):
    settings = Settings(seed=11, seconds=SECONDS, store=store)

    result = Run(settings, tmp_path).carry_out()

    print(render(settings, result))
    assert result.violation_count == 0, "\n".join(result.violations)
    assert result.is_mostly_answered()
    assert len(result.counts) > 10, "failures of many kinds"
    assert sum(result.disturbances.values()) >= 3


def test_a_seed_is_a_plan():
    kinds = ["gateway killed", "gateway paused"]
    for number in range(50):
        assert plan.request(3, number, 0.3) == plan.request(3, number, 0.3)
        order = plan.request(3, number, 0.3).order
        assert faults.read_order(json.dumps({"prompt": order.prompt()})) == order
    assert plan.disturbances(3, 60, kinds) == plan.disturbances(3, 60, kinds)
    assert plan.disturbances(3, 60, kinds) != plan.disturbances(4, 60, kinds)


def children():
    """The process ids of the programs that this process has started and that run."""
    found = set()
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(") ")[1].split()[:2]
        except OSError:
            continue  # has ended meanwhile
        if int(parent) == os.getpid() and state != "Z":
            found.add(path.parent.name)
    return found


def test_nothing_stays_of_a_world_that_does_not_start(tmp_path, monkeypatch):
    (tmp_path / "ratelimitd").mkdir()
    (tmp_path / "ratelimitd" / "ratelimitd").symlink_to(ratelimitd_binary())
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "gateway").symlink_to("/bin/false")
    monkeypatch.setenv("CANDOR_BUILD", str(tmp_path))
    before = children()
    with pytest.raises(AssertionError, match="gateway0.1 ended at start"):
        World(tmp_path / "world", "redis")
    assert children() == before


def planned(fault="ok", route="only-openai-a", conduct="patient"):
    """A request whose first provider shall do `fault`, and the others answer."""
    first, *others = plan.ROUTES[route]
    order = faults.Order(5, {first: fault, **dict.fromkeys(others, "ok")})
    return plan.PlannedRequest(5, "chat_completions", False, route, 0, order, conduct, 0)


TRUE_TEXT = "".join(faults.text_of(5))
OVERLOADED = "says overloaded"


def headers(provider, trail, **more):
    pairs = {
        "content-type": "application/json",
        "x-request-id": "r",
        "x-candor-latency-ms": "1",
        "x-candor-provider": provider,
        "x-candor-attempts": trail,
        **{name.replace("_", "-"): value for name, value in more.items() if value},
    }
    return list(pairs.items())


def answer(text=TRUE_TEXT, trail="openai-a:ok:1ms", provider="openai-a", **more):
    message = {"role": "assistant", "content": text}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }
    return Reply(200, headers(provider, trail, **more), json.dumps(body).encode())


def failure(status=503, kind="overloaded", fault="provider", **more):
    """`more`: what else is other than in a true answer to OVERLOADED; what is none of the names below
    belongs into `candor`."""
    wait = more.get("retry_after_ms", 1000)
    attempt = {
        "provider": "openai-a",
        "kind": more.pop("attempt_kind", kind),
        "upstream_status": more.pop("attempt_status", 503),
        "duration_ms": 1,
    }
    trail = more.pop("trail", f"openai-a:{attempt['kind']}:1ms")
    provider = more.pop("provider", "openai-a")
    retry = more.pop("retry", "true")
    wait_in_header = more.pop("header_ms", wait)
    told = {
        "kind": kind,
        "fault": fault,
        "upstream_status": 503,
        "retry_after_ms": wait,
        "request_id": "r",
        "attempts": [attempt],
        **more,
    }
    error = {"message": "busy", "type": "t", "param": None, "code": None, "candor": told}
    pairs = headers(
        provider,
        trail,
        x_candor_error=kind,
        x_should_retry=retry,
        retry_after=wait_in_header and str(-(-wait_in_header // 1000)),
        retry_after_ms=wait_in_header and str(wait_in_header),
    )
    return Reply(status, pairs, json.dumps({"error": error}).encode())


def refusal(trail, status=503, kind="no_provider_available", **more):
    told = {"attempts": [], "upstream_status": None, **more}
    return failure(status, kind, provider="none", trail=trail, **told)


def mistake(status=404, kind="unknown_model", trail="", **more):
    told = {"retry": "false", "retry_after_ms": None, "fault": "caller", **more}
    return refusal(trail, status, kind, **told)


FELL_BACK = "openai-a:overloaded:1ms, openai-b:ok:1ms"


TRUE = {
    "an answer": (planned(), answer()),
    "a failure": (planned(OVERLOADED), failure()),
    "another provider's answer": (
        planned(OVERLOADED, "two-openai"),
        answer(trail=FELL_BACK, provider="openai-b"),
    ),
    "refused, and another provider's answer": (
        planned(route="two-openai"),
        answer(trail="openai-a:refused(backoff):0ms, openai-b:ok:1ms", provider="openai-b"),
    ),
    "a failure, and a refusal": (
        planned(OVERLOADED, "two-openai"),
        failure(trail="openai-a:overloaded:1ms, openai-b:refused(retry_budget):0ms"),
    ),
    "a refusal": (planned(), refusal("openai-a:refused(quota):0ms")),
    "an unknown model": (planned(conduct="unknown"), mistake()),
}


@pytest.mark.parametrize("request_, reply", TRUE.values(), ids=TRUE)
def test_the_judge_takes_the_truth(request_, reply):
    Judge(request_).judge(reply)


UNTRUE = {
    "another's answer": (planned(), answer("".join(faults.text_of(6))), "untrue text"),
    "half an answer": (planned(), answer(TRUE_TEXT[:-4]), "untrue text"),
    "a success of a failure": (planned(OVERLOADED), answer(), "success of openai-a, which failed"),
    "a key": (planned(), answer(x_debug="sk-key-of-openai-a"), "a key is shown"),
    "a trail without the answer": (planned(), answer(trail="openai-a:overloaded:1ms"), "overloaded"),
    "a trail without the failure": (
        planned(OVERLOADED, "two-openai"),
        answer(trail="openai-b:ok:1ms", provider="openai-b"),
        "of the route",
    ),
    "a failure of nobody": (planned(), failure(), "told to be"),
    "another status": (planned(OVERLOADED), failure(status=400), "400 for overloaded"),
    "another kind": (planned(OVERLOADED), failure(429, "rate_limited"), "told to be"),
    "late at once": (planned(OVERLOADED), failure(504, "upstream_timeout"), "told to be"),
    "another status of the provider": (planned(OVERLOADED), failure(attempt_status=400), "answered"),
    "another's fault": (planned(OVERLOADED), failure(fault="caller"), "no fault of caller"),
    "no wait": (planned(OVERLOADED), failure(header_ms=None), "no retry-after"),
    "an endless wait": (planned(OVERLOADED), failure(retry_after_ms=45_000), "a wait of 45000"),
    "two waits": (planned(OVERLOADED), failure(header_ms=2000), "two waits"),
    "no retry": (planned(OVERLOADED), failure(retry="false"), "x-should-retry"),
    "no attempt": (planned(OVERLOADED), failure(attempts=[]), "without an attempt"),
    "another trail": (planned(OVERLOADED), failure(trail=""), "is not"),
    "another request": (planned(OVERLOADED), failure(request_id="q"), "two request ids"),
    "no fallback": (planned(OVERLOADED, "two-openai"), failure(), "neither tried nor refused"),
    "refused by nobody": (planned(), refusal(""), "neither tried nor refused"),
    "refused without a look at the next": (
        planned(route="two-openai"),
        refusal("openai-a:refused(backoff):0ms"),
        "neither tried nor refused",
    ),
    "no room": (planned(), refusal("", kind="gateway_overloaded", fault="gateway"), "without an"),
    "a mistake as the gateway's": (planned(conduct="unknown"), mistake(500), "500 for unknown"),
    "a mistake that nobody made": (planned(), mistake(), "without an attempt"),
    "a mistake that was tried": (
        planned(conduct="unknown"),
        mistake(trail="openai-a:refused(backoff):0ms"),
        "a mistake was tried",
    ),
}


@pytest.mark.parametrize("request_, reply, why", UNTRUE.values(), ids=UNTRUE)
def test_the_judge_takes_nothing_else(request_, reply, why):
    with pytest.raises(Untrue, match=why):
        Judge(request_).judge(reply)


def test_growth_is_seen_and_noise_is_not():
    result = Result()
    result.samples["flat"] = [(50 << 20, 30 + i % 3) for i in range(30)]
    result.samples["leaks"] = [((50 + i) << 20, 30 + 2 * i) for i in range(30)]

    assert [line.split(" grew")[0] for line in growth(result)] == [
        "memory of leaks",
        "descriptors of leaks",
    ]
