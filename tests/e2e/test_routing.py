"""From the name of a model to ordered targets, and what /v1/models shows."""

import collections

from support.stack import Pair


def start(programs, targets, providers=("one", "two", "three"), **config):
    """A gateway with the model "m" and these targets; the fake providers by name."""
    pair = Pair(programs, routes=1)
    gateway = programs.gateway(
        {
            **pair.config,
            "providers": [pair.openai_provider(name) for name in providers],
            "models": [{"name": "m", "targets": targets}],
            **config,
        }
    )
    return gateway, {name: pair.fake.named(name) for name in providers}


def target(provider, **more):
    return {"provider": provider, "model": f"{provider}-model", **more}


def test_targets_are_tried_in_order_until_one_answers(programs):
    gateway, fakes = start(programs, [target("one"), target("two"), target("three")])
    fakes["one"].next(status=500)
    fakes["two"].next(before_headers="close")

    reply = gateway.chat("m")

    assert reply.status == 200
    assert reply.header("x-candor-provider") == "three"
    assert reply.header("x-candor-model") == "three-model"
    assert [part.split(":")[:2] for part in reply.header("x-candor-attempts").split(", ")] == [
        ["one", "upstream_error"],
        ["two", "upstream_unreachable"],
        ["three", "ok"],
    ]
    assert [fakes[name].attempts()[0].model for name in fakes] == [
        "one-model",
        "two-model",
        "three-model",
    ]


def test_lower_priority_numbers_go_first(programs):
    gateway, _ = start(programs, [target("one", priority=2), target("two", priority=1)])
    assert gateway.chat("m").header("x-candor-provider") == "two"


def test_weights_share_the_load(programs):
    gateway, _ = start(
        programs, [target("one", weight=9), target("two", weight=1), target("three", priority=5)]
    )
    asked = collections.Counter(gateway.chat("m").header("x-candor-provider") for _ in range(200))

    assert asked["three"] == 0, "a later priority is for failures"
    # 180 and 20 expected; the bounds are seven standard deviations away.
    assert asked["one"] >= 150
    assert 0 < asked["two"] <= 50


def test_two_keys_of_a_vendor_are_two_providers(programs):
    gateway, fakes = start(programs, [target("one"), target("two")])
    fakes["one"].always(status=429, headers={"retry-after": "60"})
    assert [gateway.chat("m").status for _ in range(3)] == [200] * 3
    assert fakes["one"].attempt_count() == 1
    keys = {fakes[name].attempts()[0].header("authorization") for name in ("one", "two")}
    assert keys == {"Bearer sk-key-of-one", "Bearer sk-key-of-two"}


def test_a_backoff_belongs_to_one_model_of_the_provider(programs):
    pair = Pair(programs, routes=1)
    gateway = programs.gateway(
        {
            **pair.config,
            "models": [
                {"name": name, "targets": [{"provider": "first-0", "model": name}]}
                for name in ("a", "b")
            ],
        }
    )
    pair.fake.named("first-0").next(status=429, headers={"retry-after": "60"})
    assert gateway.chat("a").status == 429

    assert gateway.chat("a").kind() == "no_provider_available"
    assert gateway.chat("b").status == 200


def test_models_are_listed_and_shown(pair):
    listed = pair.gateway.get("/v1/models").json()

    assert listed["object"] == "list"
    names = [model["id"] for model in listed["data"]]
    assert {"solo-0", "duo-0", "on-azure-0"} <= set(names)
    assert len(names) == len(set(names))
    for model in listed["data"]:
        assert model["object"] == "model"
        assert isinstance(model["created"], int) and isinstance(model["owned_by"], str)
    shown = pair.gateway.get("/v1/models/solo-0")
    assert shown.json() == next(model for model in listed["data"] if model["id"] == "solo-0")


def test_an_unknown_model_is_404_with_its_name(pair):
    for reply in (pair.gateway.get("/v1/models/gpt-9"), pair.gateway.chat("gpt-9")):
        assert (reply.status, reply.kind()) == (404, "unknown_model")
        assert reply.error()["code"] == "model_not_found"
        assert "gpt-9" in reply.error()["message"]


def test_names_with_slashes_and_escapes(programs):
    pair = Pair(programs, routes=1)
    name = 'org/model "7b" \u00e9'
    gateway = programs.gateway(
        {
            **pair.config,
            "models": [
                {
                    "name": name,
                    "targets": [
                        {"provider": "first-0", "model": name},
                        {"provider": "azure-0", "model": name},
                    ],
                }
            ],
        }
    )
    assert gateway.chat(name).status == 200
    assert pair.fake.attempts("first-0")[0].json()["model"] == name

    pair.fake.named("first-0").next(status=500)
    assert gateway.chat(name).status == 200
    assert pair.fake.attempts("azure-0")[0].model == name
