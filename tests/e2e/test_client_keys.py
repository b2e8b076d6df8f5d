"""Client keys: who may call, which models they see, and no key that ever leaves."""

import hashlib

import pytest

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


def test_an_open_gateway_warns_at_start(programs, pair):
    config = {key: value for key, value in pair.config.items() if key != "clients"}
    gateway = programs.gateway(config)

    assert gateway.chat("solo-0").status == 200
    assert [line for line in gateway.log_lines() if line["level"] == "warning"]
