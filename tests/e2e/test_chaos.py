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


def planned(fault="ok", stream=False):
    order = faults.Order(5, {"openai-a": fault})
    return plan.PlannedRequest(
        5, "chat_completions", stream, "only-openai-a", 0, order, "patient", 0
    )


def answer(text, trail="openai-a:ok:1ms"):
    message = {"role": "assistant", "content": text}
    body = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
    }
    headers = [
        ("content-type", "application/json"),
        ("x-candor-provider", "openai-a"),
        ("x-candor-attempts", trail),
    ]
    return Reply(200, headers, json.dumps(body).encode())


def failure(status=503, kind="overloaded", fault="provider", retry="true", wait=1000, **candor):
    attempts = [{"provider": "openai-a", "kind": kind, "upstream_status": 503, "duration_ms": 1}]
    told = {
        "kind": kind,
        "fault": fault,
        "upstream_status": 503,
        "retry_after_ms": wait,
        "request_id": "r",
        "attempts": attempts,
        **candor,
    }
    error = {"message": "busy", "type": "t", "param": None, "code": None, "candor": told}
    headers = [
        ("content-type", "application/json"),
        ("x-candor-error", kind),
        ("x-should-retry", retry),
        ("x-request-id", "r"),
    ]
    if wait:
        headers += [("retry-after", str(-(-wait // 1000))), ("retry-after-ms", str(wait))]
    return Reply(status, headers, json.dumps({"error": error}).encode())


TRUE_TEXT = "".join(faults.text_of(5))
OVERLOADED = "says overloaded"


def test_the_judge_takes_the_truth():
    assert Judge(planned()).judge(answer(TRUE_TEXT)) == ("answered", "ok")
    assert Judge(planned(OVERLOADED)).judge(failure()) == ("told", "overloaded")


@pytest.mark.parametrize(
    "fault, reply",
    {
        "another's answer": ("ok", answer("".join(faults.text_of(6)))),
        "half an answer": ("ok", answer(TRUE_TEXT[:-4])),
        "a success of a failure": (OVERLOADED, answer(TRUE_TEXT)),
        "a trail without the answer": ("ok", answer(TRUE_TEXT, "openai-a:overloaded:1ms")),
        "a failure of nobody": ("ok", failure()),
        "another status": (OVERLOADED, failure(status=400)),
        "another kind": (OVERLOADED, failure(status=429, kind="rate_limited")),
        "another's fault": (OVERLOADED, failure(fault="caller")),
        "no wait": (OVERLOADED, failure(wait=None)),
        "no retry": (OVERLOADED, failure(retry="false")),
        "no attempt": (OVERLOADED, failure(attempts=[])),
        "another request": (OVERLOADED, failure(request_id="q")),
    }.values(),
)
def test_the_judge_takes_nothing_else(fault, reply):
    with pytest.raises(Untrue):
        Judge(planned(fault)).judge(reply)


def test_growth_is_seen_and_noise_is_not():
    result = Result()
    result.samples["flat"] = [(50 << 20, 30 + i % 3) for i in range(30)]
    result.samples["leaks"] = [((50 + i) << 20, 30 + 2 * i) for i in range(30)]

    assert [line.split(" grew")[0] for line in growth(result)] == [
        "memory of leaks",
        "descriptors of leaks",
    ]
