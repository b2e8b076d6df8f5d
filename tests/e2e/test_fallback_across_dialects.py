"""Targets of different dialects behind one model: what one cannot or will not answer, another does,
in the client's dialect, streaming and not."""

import itertools

import pytest

from support.asked import read_asked
from support.clients import CLIENTS, EMBEDDINGS
from support.stack import Pair, Route

SERVED = ("openai", "anthropic", "gemini", "compatible")
ORDERS = [
    order
    for order in itertools.permutations(SERVED, 2)
    if set(order) != {"openai", "compatible"}  # one dialect
]
PER_ORDER = 40
HEALTHY = "Honest answers travel"


class Mixed:
    """Models whose two targets speak different dialects; each test takes one that is new."""

    def __init__(self, programs):
        pair = Pair(programs, gateways=0, routes={})
        self.fake, self.ratelimitd, config = pair.fake, pair.ratelimitd, pair.config
        for order in ORDERS:
            for number in range(PER_ORDER):
                names = [f"{'-'.join(order)}-{number}-{place}" for place in range(2)]
                for name, dialect in zip(names, order):
                    config["providers"].append(pair.provider(name, dialect))
                targets = [{"provider": name, "model": "m"} for name in names]
                config["models"].append({"name": f"{'-'.join(order)}-{number}", "targets": targets})
        self.gateway = programs.gateway(config)
        self._unused = {order: itertools.count() for order in ORDERS}

    def route(self, order):
        model = f"{'-'.join(order)}-{next(self._unused[order])}"
        return Route(model, [self.fake.named(f"{model}-{place}") for place in range(2)])


@pytest.fixture(scope="module")
def mixed(shared_programs):
    return Mixed(shared_programs)


# What the first target does before any of its output is out.
FAILURES = {
    "429": {"status": 429, "headers": {"retry-after": "20"}},
    "reset": {"before_headers": "reset"},
    "200 as HTML": {"body": "<html></html>", "content_type": "text/html"},
    "cut before output": {"cut_after_events": 0},
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("client_name", CLIENTS)
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_the_second_answers(mixed, order, client_name, failure, stream):
    route = mixed.route(order)
    route.first.always(**FAILURES[failure])
    client = CLIENTS[client_name]

    reply = client.ask(mixed.gateway, route.model, stream=stream)

    seen = client.read(reply)
    assert seen.is_whole and seen.text == HEALTHY
    assert reply.header("x-candor-provider") == route.second.name
    assert reply.header("retry-after") is None


def test_a_field_that_the_first_cannot_honour_goes_to_the_second(mixed):
    route = mixed.route(("gemini", "openai"))

    reply = mixed.gateway.chat(route.model, logit_bias={"50256": -100})

    assert reply.status == 200, reply
    assert reply.header("x-candor-provider") == route.second.name
    assert route.attempt_counts() == [0, 1]


def test_a_field_that_nobody_can_honour_is_the_callers_to_mend(mixed):
    route = mixed.route(("gemini", "anthropic"))

    reply = mixed.gateway.chat(route.model, logit_bias={"50256": -100})

    assert (reply.status, reply.error()["param"]) == (400, "logit_bias")
    assert route.attempt_counts() == [0, 0]
    assert mixed.gateway.chat(route.model).status == 200


def test_embeddings_go_where_there_are_any(mixed):
    route = mixed.route(("anthropic", "gemini"))

    reply = EMBEDDINGS.ask(mixed.gateway, route.model)

    assert reply.status == 200, reply
    assert reply.json()["data"][0]["embedding"] == [0.25, 0.5, 0.75]
    assert route.attempt_counts() == [0, 1]


@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_each_target_is_asked_in_its_own_words(mixed, dialect):
    route = mixed.route(("openai", dialect))
    route.first.next(status=503)
    tool = {"name": "weather", "parameters": {"type": "object"}}

    reply = mixed.gateway.chat(
        route.model, tools=[{"type": "function", "function": tool}], tool_choice="required"
    )

    assert reply.status == 200, reply
    both = [read_asked(provider.attempts()[0]) for provider in route.providers]
    assert [asked.tool_choice for asked in both] == ["required", "required"]
    assert both[0].said == both[1].said
