"""Client keys: who may call, which models they see, and no key that ever leaves."""

import hashlib

import pytest

from support.clients import CLIENTS
from support.stack import PROVIDER_DIALECTS

KEY_A, KEY_B = "sk-client-a-7c1f", "sk-client-b-91ee"


def entry(name, key, **more):
    return {"name": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest(), **more}


PAIR = {
    "gateway_config": {
        "clients": [
            entry("team-a", KEY_A),
            entry("team-b", KEY_B, models=["duo-*", "on-azure-1"]),
        ]
    }
}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    "headers",
    [bearer(KEY_A), {"api-key": KEY_A}, {"x-api-key": KEY_A}, {"authorization": f"bearer {KEY_A}"}],
    ids=["bearer", "api-key", "x-api-key", "lower case scheme"],
)
def test_a_known_key_may_call(pair, headers):
    assert pair.gateway.chat(pair.solo().model, headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("sk-wrong"),
        bearer(""),
        bearer(KEY_A + "x"),
        bearer(KEY_A[:-1]),
        {"authorization": KEY_A},
        {"authorization": f"Basic {KEY_A}"},
        bearer(hashlib.sha256(KEY_A.encode()).hexdigest()),
    ],
    ids=["none", "wrong", "empty", "longer", "shorter", "no scheme", "another scheme", "the hash"],
)
def test_an_unknown_key_is_401(pair, headers):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, headers)

    assert (reply.status, reply.kind()) == (401, "client_auth"), reply
    assert reply.error()["code"] == "invalid_api_key"
    assert reply.header("x-should-retry") == "false"
    assert reply.header("www-authenticate") == "Bearer"
    assert reply.header("x-candor-provider") == "none"
    assert "sk-" not in reply.text()
    assert route.first.attempt_count() == 0


def test_a_model_outside_the_keys_list_is_403(pair):
    route = pair.solo()
    reply = pair.gateway.chat(route.model, bearer(KEY_B))

    assert (reply.status, reply.kind()) == (403, "client_forbidden"), reply
    assert route.first.attempt_count() == 0
    assert pair.gateway.chat(pair.duo().model, bearer(KEY_B)).status == 200


def test_the_models_list_holds_what_the_key_may_use(pair):
    names = {m["id"] for m in pair.gateway.get("/v1/models", bearer(KEY_B)).json()["data"]}

    assert "duo-0" in names and "on-azure-1" in names
    assert "solo-0" not in names and "on-azure-0" not in names
    assert pair.gateway.get("/v1/models/solo-0", bearer(KEY_B)).status in (403, 404)
    assert pair.gateway.get("/v1/models").status == 401


def test_no_key_leaves(pair):
    """P8: provider keys reach only their provider, client keys reach nobody."""
    route = pair.duo()
    own_key = f"sk-key-of-{route.first.name}"
    leaky = f"Invalid value near {own_key} at http://{pair.fake.addresses['http']}/internal"
    error = {"error": {"message": leaky, "type": leaky, "param": leaky, "code": leaky}}
    route.first.next(status=400, body=error)
    refused = pair.gateway.chat(route.model, bearer(KEY_A))
    route.first.next(status=401, body=error)
    fallen_back = pair.gateway.chat(route.model, bearer(KEY_A))
    assert (refused.status, fallen_back.status) == (400, 200)

    shown = [
        str(refused),
        str(fallen_back),
        pair.gateway.log(),
        pair.ratelimitd.log(),
        pair.gateway.admin("/metrics").text(),
        pair.ratelimitd.admin("/metrics").text(),
    ]
    for text in shown:
        assert own_key not in text
        assert KEY_A not in text
    assert pair.fake.addresses["http"] not in refused.text()
    for attempt in route.first.attempts() + route.second.attempts():
        assert KEY_A not in str(vars(attempt))
    assert own_key not in str([vars(a) for a in route.second.attempts()])


@pytest.mark.parametrize("dialect", PROVIDER_DIALECTS)
@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("headers", [bearer(KEY_A), {"x-api-key": KEY_A}], ids=["bearer", "x-api"])
def test_no_key_of_a_client_reaches_a_provider(pair, client, dialect, headers):
    route = pair.route_of(dialect)
    reply = pair.gateway.post(
        client.path, client.request(route.model), {**client.headers, **headers}
    )

    assert reply.status == 200, reply
    (attempt,) = route.first.attempts()
    assert KEY_A not in str(vars(attempt))
    own = f"key-of-{route.first.name}"
    assert own in str(attempt.headers) and own not in attempt.target


# What is wrong before any provider is asked -> status, kind.
REFUSALS = {
    "no key": ({}, {}, 401, "client_auth"),
    "a model of others": (bearer(KEY_B), {}, 403, "client_forbidden"),
    "an unknown model": (bearer(KEY_A), {"model": "none"}, 404, "unknown_model"),
    "a model that is no text": (bearer(KEY_A), {"model": 7}, 400, "bad_request"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("refusal", REFUSALS)
def test_refusals_speak_the_clients_dialect(pair, client, refusal, stream):
    headers, fields, status, kind = REFUSALS[refusal]
    body = {**client.request("solo-0", stream=stream), **fields}

    reply = pair.gateway.post(client.path, body, {**client.headers, **headers})

    error = client.failure(reply)
    assert (reply.status, error["candor"]["kind"]) == (status, kind)
    assert reply.header("x-should-retry") == "false"
    assert reply.header("x-candor-provider") == "none"


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda one: one.name)
def test_a_body_that_is_no_json_is_told_in_the_clients_dialect(pair, client):
    reply = pair.gateway.post(client.path, b'{"model": ', {**client.headers, **bearer(KEY_A)})

    assert (reply.status, client.failure(reply)["candor"]["kind"]) == (400, "bad_request")


@pytest.mark.parametrize("client", CLIENTS.values(), ids=lambda one: one.name)
def test_a_target_that_must_rest_is_told_in_the_clients_dialect(pair, client):
    route = pair.route_of("gemini")
    route.first.next(status=429, headers={"retry-after": "20"})
    headers = {**client.headers, **bearer(KEY_A)}
    body = client.request(route.model)
    assert pair.gateway.post(client.path, body, headers).status == 429

    reply = pair.gateway.post(client.path, body, headers)

    assert client.failure(reply)["candor"]["kind"] == "no_provider_available"
    assert reply.status == 503 and reply.wait_ms() >= 18_000
    assert route.first.attempt_count() == 1


def test_an_open_gateway_warns_at_start(programs, pair):
    config = {key: value for key, value in pair.config.items() if key != "clients"}
    gateway = programs.gateway(config)

    assert gateway.chat("solo-0").status == 200
    assert [line for line in gateway.log_lines() if line["level"] == "warning"]
