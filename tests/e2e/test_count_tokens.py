"""POST /v1/messages/count_tokens, with Anthropic's SDK: relayed to providers of Anthropic's API, and
refused where a model has none. No model answers, so nothing is learned of one."""

import anthropic
import pytest

from support.programs import wait_until
from support.stack import Pair, Route

BREAKER = {"consecutive": 2, "lump": "1ms", "open": "1s", "open_max": "1s", "probe_successes": 1}
MESSAGES = [{"role": "user", "content": "Say hello."}]
PATH = "/v1/messages/count_tokens"


@pytest.fixture(scope="module")
def pair(shared_programs):
    """Beside the usual routes, one that begins with a provider of another API."""
    pair = Pair(
        shared_programs,
        gateways=0,
        routes={"openai": 2, "anthropic": 20, "gemini": 1},
        doubles=False,
        ratelimitd_config={"defaults": {"breaker": {**BREAKER, "ramp": "0s"}}},
    )
    names = ["first-0", "anthropic-0", "anthropic-1"]
    targets = [{"provider": name, "model": "upstream"} for name in names]
    pair.config["models"].append({"name": "mixed", "targets": targets})
    pair.gateway = shared_programs.gateway(pair.config)
    pair.mixed = Route("mixed", [pair.fake.named(name) for name in names])
    for dialect in ("openai", "anthropic", "anthropic"):
        pair.route_of(dialect)
    return pair


@pytest.fixture
def sdk(pair):
    return anthropic.Anthropic(base_url=pair.gateway.url(""), api_key="unused", max_retries=0)


def count(pair, route):
    return pair.gateway.post(PATH, {"model": route.model, "messages": MESSAGES})


def say(pair, route):
    body = {"model": route.model, "messages": MESSAGES, "max_tokens": 9}
    return pair.gateway.post("/v1/messages", body)


def state(pair, provider):
    return pair.ratelimitd.provider(provider.name)["targets"][0]["health"]["state"]


def test_it_counts(pair, sdk):
    route = pair.route_of("anthropic")
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]

    counted = sdk.messages.count_tokens(
        model=route.model, system="Be brief.", messages=MESSAGES, tools=tools
    )

    assert counted.input_tokens == 7
    [attempt] = route.first.attempts()
    assert attempt.target.endswith(PATH)
    asked = attempt.json()
    assert asked.pop("model").startswith("deployment-")
    assert asked == {"system": "Be brief.", "messages": MESSAGES, "tools": tools}
    assert attempt.header("anthropic-version")


def test_the_beta_of_it_passes_its_headers_on(pair, sdk):
    route = pair.route_of("anthropic")

    counted = sdk.beta.messages.count_tokens(model=route.model, messages=MESSAGES, betas=["x-1"])

    assert counted.input_tokens == 7
    assert "x-1" in route.first.attempts()[0].header("anthropic-beta")


def test_only_providers_of_anthropics_api_are_asked_one_after_the_other(pair):
    foreign, first, second = pair.mixed.providers
    first.next(status=500)

    reply = count(pair, pair.mixed)

    assert (reply.status, reply.json()) == (200, {"input_tokens": 7})
    trail = [attempt.rsplit(":", 1)[0] for attempt in reply.header("x-candor-attempts").split(", ")]
    assert trail == [f"{first.name}:upstream_error", f"{second.name}:ok"]
    assert foreign.attempt_count() == 0


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
def test_a_model_without_such_a_provider_says_so(pair, sdk, dialect):
    route = pair.route_of(dialect)

    with pytest.raises(anthropic.BadRequestError) as caught:
        sdk.messages.count_tokens(model=route.model, messages=MESSAGES)

    error = caught.value.body["error"]
    assert (error["type"], error["candor"]["kind"]) == ("invalid_request_error", "bad_request")
    assert f'"{dialect}"' in error["message"] and "counts no tokens" in error["message"]
    assert route.first.attempt_count() == 0


FAILURES = {
    "no count": ({"body": {"type": "message", "content": []}}, 502, "upstream_malformed"),
    "an error called success": (
        {"body": {"type": "error", "error": {"type": "overloaded_error", "message": "Busy"}}},
        503,
        "overloaded",
    ),
    "an error": ({"status": 529}, 503, "overloaded"),
    "a mistake": ({"status": 400}, 400, "invalid_request"),
    "a limit": ({"status": 429, "headers": {"retry-after": "7"}}, 429, "rate_limited"),
}


@pytest.mark.parametrize("behaviour, status, kind", FAILURES.values(), ids=FAILURES.keys())
def test_failures_are_told_and_hold_nobody_up(pair, behaviour, status, kind):
    """Anthropic limits the counting by itself, so the model is not to be spared."""
    route = pair.route_of("anthropic")
    route.first.next(times=2, **behaviour)

    for _ in range(2):
        reply = count(pair, route)
        assert (reply.status, reply.kind()) == (status, kind), reply
        assert reply.json()["type"] == "error"
        assert reply.header("request-id")
    if status == 429:
        assert reply.wait_ms() >= 7000
    assert say(pair, route).status == 200
    assert state(pair, route.first) == "HEALTH_STATE_HEALTHY"


def test_a_count_is_no_proof_that_the_model_is_back(pair):
    route = pair.route_of("anthropic")
    route.first.always(status=500)
    wait_until(lambda: say(pair, route).kind() == "no_provider_available", "its breaker is open")
    route.first.always(status=200)
    wait_until(lambda: count(pair, route).status == 200, "a probe is let through")

    for _ in range(3):
        assert count(pair, route).status == 200, "the permit is given back each time"
        assert state(pair, route.first) == "HEALTH_STATE_HALF_OPEN"
    assert say(pair, route).status == 200
    assert state(pair, route.first) == "HEALTH_STATE_HEALTHY"


def test_a_refused_key_is_refused_for_the_model_too(pair):
    route = pair.route_of("anthropic")
    route.first.next(status=401)

    assert count(pair, route).kind() == "provider_auth"
    assert count(pair, route).kind() == say(pair, route).kind() == "no_provider_available"
    assert route.first.attempt_count() == 1


def test_the_clients_own_limits_and_models_hold(programs):
    key_sha256 = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
    client = {"name": "team", "key_sha256": key_sha256, "limits": {"requests_per_minute": 1}}
    pair = Pair(
        programs, routes={"anthropic": 1}, doubles=False, gateway_config={"clients": [client]}
    )
    body = {"model": pair.route_of("anthropic").model, "messages": MESSAGES}

    assert pair.gateway.post(PATH, body).status == 401
    assert pair.gateway.post(PATH, body, {"x-api-key": "key"}).status == 200
    assert pair.gateway.post(PATH, body, {"x-api-key": "key"}).kind() == "client_rate_limited"
