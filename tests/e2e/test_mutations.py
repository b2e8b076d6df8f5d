"""A request or an answer with everything in it, each value in turn replaced by something else:
what the gateway makes of it is an answer or an error of the client's dialect, and it lives on."""

import copy
import json
import pathlib
import sys

import pytest

from support.clients import CLIENTS
from support.stack import PROVIDER_DIALECTS
from test_failure_matrix import upstream_call
from test_translation import CONVERSATIONS, RICH, TOOLS

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "support" / "fake_provider"))

import answer  # noqa: E402
import dialects  # noqa: E402

# The same provider answers badly many times in a row.
PAIR = {
    "routes": 20,
    "doubles": False,
    "ratelimitd_config": {"defaults": {"breaker": {"consecutive": 1000, "min_calls": 1000}}},
}
PAIRS = [(client, dialect) for client in CONVERSATIONS for dialect in PROVIDER_DIALECTS]
EVERYWHERE = pytest.mark.parametrize("client_name, dialect", PAIRS)


def is_relayed(client_name, dialect):
    """What goes through byte for byte is as good as the other side made it."""
    if client_name == "messages":
        return dialect == "anthropic"
    return dialect in ("openai", "azure") or (client_name, dialect) == (
        "chat_completions",
        "compatible",
    )


TRANSLATED = pytest.mark.parametrize(
    "client_name, dialect", [pair for pair in PAIRS if not is_relayed(*pair)]
)
OTHERS = (None, 7, "x", [{}])
ANSWER = answer.parse_answer(RICH)


def mutations(value):
    """(path, value with one thing replaced), for every place in it and each of OTHERS."""
    for path in paths(value):
        for other in OTHERS:
            mutant = copy.deepcopy(value)
            place = mutant
            for key in path[:-1]:
                place = place[key]
            if place[path[-1]] != other:
                place[path[-1]] = other
                yield path, mutant


def paths(value, path=()):
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*path, key)
        if isinstance(child, (dict, list)):
            yield from paths(child, (*path, key))


@EVERYWHERE
def test_a_request(pair, client_name, dialect):
    client = CLIENTS[client_name]
    route = pair.route_of(dialect)
    whole = client.request(route.model, **CONVERSATIONS[client_name]())
    for path, mutant in mutations(whole):
        reply = pair.gateway.post(client.path, mutant, client.headers)
        try:
            if reply.status == 200:
                assert is_relayed(client_name, dialect) or client.read(reply).is_whole
            else:
                assert 400 <= reply.status < 500, "the caller's mistake"
                client.failure(reply)
        except Exception as error:
            raise AssertionError(f"{path} is {mutant}: {reply}") from error


@TRANSLATED
def test_an_answer(pair, client_name, dialect):
    client = CLIENTS[client_name]
    route = pair.route_of(dialect)
    call = upstream_call(client_name, dialect)
    whole = dialects.healthy_body(call, ANSWER)
    for path, mutant in mutations(whole):
        route.first.next(body=mutant)
        reply = client.ask(pair.gateway, route.model, tools=TOOLS[client_name]())
        check(client, reply, f"{path} is {mutant}")


@TRANSLATED
def test_an_event_of_a_stream(pair, client_name, dialect):
    client = CLIENTS[client_name]
    route = pair.route_of(dialect)
    call = upstream_call(client_name, dialect)
    events = list(dialects.healthy_events(call, ANSWER))
    for number, event in enumerate(events):
        before, _, data = event.partition("data: ")
        if data == "[DONE]":
            continue
        for path, mutant in mutations(json.loads(data)):
            changed = before + "data: " + json.dumps(mutant)
            route.first.next(events=[*events[:number], changed, *events[number + 1 :]])
            reply = client.ask(
                pair.gateway, route.model, stream=True, tools=TOOLS[client_name]()
            )
            check(client, reply, f"event {number}: {path} is {mutant}")


def check(client, reply, what):
    """A whole answer in the client's dialect, or an error in it."""
    try:
        if reply.status != 200:
            assert client.failure(reply)["candor"]["fault"] == "provider"
        elif not client.read(reply).is_whole:
            client.failure_in_stream(reply)
    except Exception as error:
        raise AssertionError(f"{what}: {reply}") from error
