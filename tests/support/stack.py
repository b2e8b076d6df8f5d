"""Whole set-ups: ratelimitd, gateways and a fake provider, wired together.

The programs of a set-up are shared by many tests, so each test takes a `Route` that nobody has used
before: its providers, and what ratelimitd remembers of them, are its own.
"""

import concurrent.futures
import contextlib
import pathlib
import time

from support.programs import FakeProvider, Gateway, Ratelimitd, wait_until

# So long that a provider on a busy machine is not too slow. What ends by a timeout takes a hasty route.
TIMEOUTS = {"connect": "20s", "first_byte": "30s", "idle": "30s", "total": "60s"}
API_VERSION = "2024-10-21"
# "compatible" is a server of OpenAI's dialect that has no Responses API.
PROVIDER_DIALECTS = ("openai", "azure", "compatible", "anthropic", "gemini")
KEY_PREFIXES = {"openai": "sk-", "compatible": "gsk_", "anthropic": "sk-ant-", "gemini": "AIza-"}


class Programs:
    """Starts programs and ends them all. An exit other than 0 (a crash, a sanitizer's finding) is
    an error of the test, unless the test itself killed the program."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.started = []

    def ratelimitd(self, config=None, name="ratelimitd", env=None):
        return self.add(Ratelimitd(self.directory, config, name, env))

    def gateway(self, config, name="gateway", env=None, tls=None):
        return self.add(Gateway(self.directory, config, name, env, tls))

    def fake_provider(self, name="fake_provider", tls=False):
        return self.add(FakeProvider(self.directory, name, tls))

    def add(self, program):
        self.started.append(program)
        return program

    def stop_all(self):
        """All, also when one of them does not end."""
        codes = {}

        def stop(program):
            codes[program.name] = program.stop()

        with contextlib.ExitStack() as stopping:
            for program in self.started:
                if not program.is_ended_by_test:
                    stopping.callback(stop, program)
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
    """One ratelimitd and any number of gateways that share it. `routes`: how many of each dialect,
    or {dialect: count}; without `doubles` there is no duo(); `hasty`: {name: timeouts} of what
    hasty() and hasty_duo() give, `hasty_routes` of each dialect; `tls` as of Gateway."""

    def __init__(
        self,
        programs,
        gateways=1,
        routes=60,
        doubles=True,
        gateway_config=None,
        ratelimitd_config=None,
        timeouts=None,
        hasty=None,
        hasty_routes=12,
        tls=None,
        gateway_env=None,
        ratelimitd_env=None,
    ):
        self.programs = programs
        self.fake = programs.fake_provider()
        self.ratelimitd = programs.ratelimitd(ratelimitd_config, env=ratelimitd_env)
        counts = routes if isinstance(routes, dict) else dict.fromkeys(PROVIDER_DIALECTS, routes)
        self._has_doubles = doubles
        self.config = {
            "ratelimitd": ask(self.ratelimitd.address),
            **self._routes_config(counts, {**TIMEOUTS, **(timeouts or {})}),
            **(gateway_config or {}),
        }
        for name, impatience in (hasty or {}).items():
            self._add_hasty_routes(name, {**TIMEOUTS, **impatience}, hasty_routes)
        self.gateways = [
            programs.gateway(self.config, f"gateway{number}", gateway_env, tls)
            for number in range(gateways)
        ]
        self.gateway = next(iter(self.gateways), None)
        # Single and double routes share their first provider.
        self._unused = {dialect: iter(range(count)) for dialect, count in counts.items()}
        self._unused |= {name: iter(range(hasty_routes)) for name in hasty or {}}

    def _add_hasty_routes(self, name, timeouts, count):
        """Of each dialect, and doubles of whom only the first is impatient."""
        for i in range(count):
            patient = self.openai_provider(f"{name}-patient-{i}")
            made = [self.provider(f"{name}-{d}-{i}", d, timeouts) for d in PROVIDER_DIALECTS]
            self.config["providers"] += [*made, patient]
            routes = [[provider] for provider in made] + [[made[0], patient]]
            for model, route in zip((*PROVIDER_DIALECTS, "duo"), routes):
                targets = [{"provider": p["name"], "model": f"upstream-{i}"} for p in route]
                self.config["models"].append({"name": f"{name}-{model}-{i}", "targets": targets})

    def hasty(self, name, dialect="openai"):
        """A route with one provider, for which the gateway waits as `hasty` says."""
        model = f"{name}-{dialect}-{self._take(name)}"
        return Route(model, [self.fake.named(model)])

    def hasty_duo(self, name):
        """The same with a second provider behind it, for which it waits as usual."""
        i = self._take(name)
        first, second = f"{name}-openai-{i}", f"{name}-patient-{i}"
        return Route(f"{name}-duo-{i}", [self.fake.named(first), self.fake.named(second)])

    def _routes_config(self, counts, timeouts):
        providers, models = [], []

        def add(model, *names, dialect="openai", upstream="upstream"):
            number = model.rsplit("-", 1)[1]
            targets = [{"provider": name, "model": f"{upstream}-{number}"} for name in names]
            models.append({"name": model, "targets": targets})
            known = {provider["name"] for provider in providers[-2:]}
            new = [name for name in names if name not in known]
            providers.extend(self.provider(name, dialect, timeouts) for name in new)

        for i in range(counts.get("openai", 0)):
            add(f"solo-{i}", f"first-{i}")
            if self._has_doubles:
                add(f"duo-{i}", f"first-{i}", f"second-{i}")
        for dialect in PROVIDER_DIALECTS[1:]:
            for i in range(counts.get(dialect, 0)):
                add(f"on-{dialect}-{i}", f"{dialect}-{i}", dialect=dialect, upstream="deployment")
        return {"providers": providers, "models": models}

    def openai_provider(self, name, timeouts=None):
        return self.provider(name, "openai", timeouts)

    def azure_provider(self, name, timeouts=None):
        return self.provider(name, "azure", timeouts)

    def provider(self, name, dialect, timeouts=None):
        special = {
            "azure": {"api_version": API_VERSION},
            "compatible": {"dialect": "openai", "responses": "translated"},
        }
        return {
            "name": name,
            "dialect": dialect,
            "api_key": f"{KEY_PREFIXES.get(dialect, '')}key-of-{name}",
            "base_url": self.fake.named(name).base_url(dialect),
            "timeouts": timeouts or TIMEOUTS,
            **special.get(dialect, {}),
        }

    def _take(self, dialect):
        """The number of a route that no test has used."""
        number = next(self._unused[dialect], None)
        assert number is not None, f"raise PAIR['routes']: those of {dialect} are used up"
        return number

    def solo(self):
        """A route with one provider."""
        i = self._take("openai")
        return Route(f"solo-{i}", [self.fake.named(f"first-{i}")])

    def duo(self):
        """A route with two providers; the second is asked when the first fails."""
        i = self._take("openai")
        return Route(f"duo-{i}", [self.fake.named(f"first-{i}"), self.fake.named(f"second-{i}")])

    def azure(self):
        """A route with one provider that speaks Azure's dialect."""
        return self.route_of("azure")

    def route_of(self, dialect):
        """A route with one provider that speaks `dialect`."""
        if dialect == "openai":
            return self.solo()
        i = self._take(dialect)
        return Route(f"on-{dialect}-{i}", [self.fake.named(f"{dialect}-{i}")])


def ask(address, **options):
    """The gateway's `ratelimitd` section. The deadline is generous: a busy test machine must not
    make an answer look degraded."""
    return {"target": address, "deadline": "10s", "on_unreachable": "allow", **options}


def wait_for_the_next_probe(refused):
    """As long as a refused reply has told and a moment more: the wait is spread over callers."""
    time.sleep(refused.wait_ms() / 1000 + 0.2)


def probe_among(count, route, call):
    """The replies to so many calls at a time. The provider holds the one that is let through until
    all others are answered."""
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        calls = [pool.submit(call, i) for i in range(count)]
        try:
            wait_until(lambda: sum(c.done() for c in calls) >= count - 1, "all others are answered")
        finally:
            route.first.release()
        return [c.result() for c in calls]
