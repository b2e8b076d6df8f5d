"""The official OpenAI SDK for Node, unmodified, pointed at the gateway; sdk.mjs drives it."""

import json
import pathlib
import subprocess

import pytest

HERE = pathlib.Path(__file__).parent
ENVELOPE_2005 = {"success": False, "result": [], "error": [{"code": 2005, "message": "failed"}]}


@pytest.fixture
def sdk(gateway, node_modules):
    def call(name, route=None, max_retries=0):
        order = {
            "baseURL": gateway.url(),
            "call": name,
            "maxRetries": max_retries,
            "model": route.model if route else "",
        }
        done = subprocess.run(
            ["node", HERE / "sdk.mjs", json.dumps(order)],
            timeout=60,
            check=True,
            capture_output=True,
            text=True,
        )
        return json.loads(done.stdout)

    return call


@pytest.mark.parametrize("dialect", ["openai", "azure"])
@pytest.mark.parametrize(
    "call, want",
    [
        ("chat", "Honest answers travel"),
        ("stream", "Honest answers travel"),
        ("embedding", [[0.25, 0.5, 0.75]] * 2),
    ],
)
def test_succeeds(pair, sdk, call, want, dialect):
    assert sdk(call, pair.route_of(dialect)) == {"ok": want}


def test_models(sdk):
    assert "solo-0" in sdk("models")["ok"]


@pytest.mark.parametrize("call", ["chat", "stream"])
@pytest.mark.parametrize(
    "status, name",
    [
        (429, "RateLimitError"),
        (503, "InternalServerError"),
        (401, "InternalServerError"),  # the gateway's own key: not the caller's fault
        (400, "BadRequestError"),
    ],
)
def test_raises_its_own_error(pair, sdk, call, status, name):
    route = pair.solo()
    route.first.next(status=status)

    raised = sdk(call, route)["raised"]

    assert raised["name"] == name
    assert raised["requestID"]
    assert raised["body"]["candor"]["upstream_status"] == status


@pytest.mark.parametrize("call", ["chat", "stream"])
@pytest.mark.parametrize("status", [429, 503])
def test_honours_the_wait_and_succeeds_on_its_retry(pair, sdk, call, status):
    route = pair.solo()
    route.first.next(status=status, headers={"retry-after": "1"})

    assert sdk(call, route, max_retries=2) == {"ok": "Honest answers travel"}

    first, second = route.first.attempts()
    assert second.started_at - first.started_at >= 0.99


def test_retries_a_failure_dressed_as_400(pair, sdk):
    route = pair.solo()
    route.first.next(status=400, body=ENVELOPE_2005)

    assert "ok" in sdk("chat", route, max_retries=1)


def test_does_not_sleep_for_days(pair, sdk):
    """This SDK obeys any retry-after; only x-should-retry keeps it from sleeping."""
    route = pair.solo()
    route.first.always(status=429, headers={"retry-after": "411480"})

    assert sdk("chat", route, max_retries=2)["raised"]["name"] == "RateLimitError"
    assert route.first.attempt_count() == 1


@pytest.mark.parametrize("end", ["close", "finish"])
def test_a_stream_that_breaks_raises(pair, sdk, end):
    route = pair.solo()
    route.first.next(cut_after_events=3, end=end, chunk_delay_ms=30)

    raised = sdk("stream", route)["raised"]

    assert raised["body"]["candor"]["kind"] == "upstream_interrupted"
    assert raised["body"]["status"] == 502
