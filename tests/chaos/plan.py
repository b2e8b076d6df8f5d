"""What a run does, drawn from its seed: every request with all its faults, and every disturbance of
the programs with its time."""

import dataclasses
import random

from support.clients import CLIENTS

from .faults import FAILING, HEALTHY, Order

PROVIDERS = {
    "openai-a": "openai",
    "openai-b": "openai",
    "azure-a": "azure",
    "compatible-a": "compatible",
    "anthropic-a": "anthropic",
    "gemini-a": "gemini",
}
ROUTES = {
    **{f"only-{name}": [name] for name in PROVIDERS},
    "two-openai": ["openai-a", "openai-b"],
    "across": ["openai-b", "anthropic-a"],
    "home": ["gemini-a", "azure-a"],
    "three": ["anthropic-a", "gemini-a", "openai-a"],
    "four": ["compatible-a", "azure-a", "gemini-a", "anthropic-a"],
}


@dataclasses.dataclass(frozen=True)
class PlannedRequest:
    """`conduct`: "patient"; "leaves" closes the connection after `leaves_after` bytes of the answer;
    "broken" sends no JSON; "unknown" asks for a model that is not there."""

    number: int
    client: str
    stream: bool
    route: str
    gateway: int  # which one, of those that are there
    order: Order
    conduct: str
    leaves_after: int


@dataclasses.dataclass(frozen=True)
class Disturbance:
    at_s: float  # from the beginning of the run
    what: str  # a key of world.DISTURBANCES
    which: int  # of the programs of that kind
    lasts_s: float


def _pick(chance, faults, stream):
    fit = {
        name: fault.weight
        for name, fault in faults.items()
        if fault.only in ("any", "stream" if stream else "whole")
    }
    [name] = chance.choices(list(fit), list(fit.values()))
    return name


def request(seed, number, failing_share):
    """The `number`th request of a run. `failing_share`: of the attempts at providers."""
    chance = random.Random(f"{seed} request {number}")
    stream = chance.random() < 0.5
    route = chance.choice(list(ROUTES))
    faults = {}
    for provider in ROUTES[route]:
        fails = chance.random() < failing_share
        faults[provider] = _pick(chance, FAILING if fails else HEALTHY, stream)
    [conduct] = chance.choices(["patient", "leaves", "broken", "unknown"], [93, 4, 1.5, 1.5])
    return PlannedRequest(
        number=number,
        client=chance.choice(list(CLIENTS)),
        stream=stream,
        route=route,
        gateway=chance.randrange(1000),
        order=Order(number, faults),
        conduct=conduct,
        leaves_after=chance.choice([0, 1, 100, 600]),
    )


def disturbances(seed, seconds, kinds):
    """Those of a run of `seconds`, in order, one after the other."""
    chance = random.Random(f"{seed} disturbances")
    planned, at_s = [], chance.uniform(0.3, 1.0)
    while at_s < seconds:
        lasts_s = chance.uniform(0.1, 1.2)
        planned.append(Disturbance(at_s, chance.choice(kinds), chance.randrange(1000), lasts_s))
        at_s += lasts_s + chance.uniform(0.4, 1.5)
    return planned
