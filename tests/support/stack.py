"""Whole set-ups: ratelimitd, gateways and a fake provider, wired together.

The programs of a set-up are shared by many tests, so each test takes a `Route` that nobody has used
before: its providers, and what ratelimitd remembers of them, are its own.
"""

import pathlib

from support.programs import FakeProvider, Gateway, Ratelimitd

TIMEOUTS = {"connect": "1s", "first_byte": "2s", "idle": "2s", "total": "10s"}
API_VERSION = "2024-10-21"


class Programs:
    """Starts programs and ends them all. An exit other than 0 (a crash, a sanitizer's finding) is
    an error of the test, unless the test itself killed the program."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.started = []

    def ratelimitd(self, config=None, name="ratelimitd"):
        return self._add(Ratelimitd(self.directory, config, name))

    def gateway(self, config, name="gateway", env=None):
        return self._add(Gateway(self.directory, config, name, env))

    def fake_provider(self, name="fake_provider", tls=False):
        return self._add(FakeProvider(self.directory, name, tls))

    def _add(self, program):
        self.started.append(program)
        return program

    def stop_all(self):
        codes = {p.name: p.stop() for p in reversed(self.started) if not p.is_ended_by_test}
        assert not any(codes.values()), f"exit codes {codes}"


class Route:
    """A model of the gateway and the providers behind it, in order."""

    def __init__(self, model, providers):
        self.model = model
        self.providers = providers
        self.first = providers[0]
        self.second = providers[1] if len(providers) > 1 else None

    def attempt_counts(self):
        return [provider.attempt_count() for provider in self.providers]


class Pair:
    """One ratelimitd and any number of gateways that share it."""

    def __init__(
        self,
        programs,
        gateways=1,
        routes=60,
        gateway_config=None,
        ratelimitd_config=None,
        timeouts=None,
    ):
        self.programs = programs
        self.fake = programs.fake_provider()
        self.ratelimitd = programs.ratelimitd(ratelimitd_config)
        self.config = {
            "ratelimitd": ask(self.ratelimitd.address),
            **self._routes_config(routes, {**TIMEOUTS, **(timeouts or {})}),
            **(gateway_config or {}),
        }
        self.gateways = [
            programs.gateway(self.config, f"gateway{number}") for number in range(gateways)
        ]
        self.gateway = self.gateways[0]
        self._unused = iter(range(routes))

    def _routes_config(self, count, timeouts):
        providers, models = [], []
        for i in range(count):
            providers += [
                self.openai_provider(f"first-{i}", timeouts),
                self.openai_provider(f"second-{i}", timeouts),
                self.azure_provider(f"azure-{i}", timeouts),
            ]
            first = {"provider": f"first-{i}", "model": f"upstream-{i}"}
            second = {"provider": f"second-{i}", "model": f"upstream-{i}"}
            azure = {"provider": f"azure-{i}", "model": f"deployment-{i}"}
            models += [
                {"name": f"solo-{i}", "targets": [first]},
                {"name": f"duo-{i}", "targets": [first, second]},
                {"name": f"on-azure-{i}", "targets": [azure]},
            ]
        return {"providers": providers, "models": models}

    def openai_provider(self, name, timeouts=None):
        return {
            "name": name,
            "dialect": "openai",
            "api_key": f"sk-key-of-{name}",
            "base_url": self.fake.named(name).base_url(),
            "timeouts": timeouts or TIMEOUTS,
        }

    def azure_provider(self, name, timeouts=None):
        return {
            "name": name,
            "dialect": "azure",
            "api_key": f"key-of-{name}",
            "api_version": API_VERSION,
            "base_url": self.fake.named(name).base_url("azure"),
            "timeouts": timeouts or TIMEOUTS,
        }

    def solo(self):
        """A route with one provider."""
        i = next(self._unused)
        return Route(f"solo-{i}", [self.fake.named(f"first-{i}")])

    def duo(self):
        """A route with two providers; the second is asked when the first fails."""
        i = next(self._unused)
        return Route(f"duo-{i}", [self.fake.named(f"first-{i}"), self.fake.named(f"second-{i}")])

    def azure(self):
        """A route with one provider that speaks Azure's dialect."""
        i = next(self._unused)
        return Route(f"on-azure-{i}", [self.fake.named(f"azure-{i}")])

    def route_of(self, dialect):
        return self.azure() if dialect == "azure" else self.solo()


def ask(address, **options):
    """The gateway's `ratelimitd` section. The deadline is generous: a busy test machine must not
    make an answer look degraded."""
    return {"target": address, "deadline": "2s", "on_unreachable": "allow", **options}
