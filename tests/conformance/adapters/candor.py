"""Candor itself: the built gateway with a ratelimitd of its own, on free ports. CANDOR_BUILD names
the build directory (default build/release).

ratelimitd remembers failures, so each trial has a provider of its own.
"""

from support import programs, stack

from ..cases import CLIENT_APIS, PROVIDER_APIS
from ..target import CannotGrade, Gateway

PAIRS = [(client, provider) for client in CLIENT_APIS for provider in PROVIDER_APIS]
TIMEOUTS = {"connect": "5s", "first_byte": "10s", "idle": "10s", "total": "20s"}
SHORT_TIMEOUTS = {**TIMEOUTS, "first_byte": "1s", "idle": "1s"}  # where the provider is silent


def start(setup):
    for binary in (programs.gateway_binary(), programs.ratelimitd_binary()):
        if not binary.exists():
            raise CannotGrade(
                f"{binary} does not exist: cmake --preset release && cmake --build --preset release"
                " --target gateway ratelimitd, or let CANDOR_BUILD name another build directory"
            )
    started = stack.Programs(setup.directory)
    try:
        return Candor(setup, started)
    except AssertionError as error:
        started.stop_all()
        raise CannotGrade(str(error)) from None


class Candor(Gateway):
    waits_for_provider_s = 1.0

    def __init__(self, setup, started):
        self._programs = started
        ratelimitd = self._programs.ratelimitd()
        config = {"ratelimitd": stack.ask(ratelimitd.address), **_routes(setup)}
        gateway = self._programs.gateway(config)
        super().__init__(gateway.url(""))

    def model(self, trial):
        return _name(trial)

    def stop(self):
        self._programs.stop_all()


def _name(trial):
    return trial.id if trial else "healthy"


def _routes(setup):
    path = "/v1" if setup.provider_api == "openai" else ""
    providers, models = [], []
    for trial in [None, *setup.trials]:
        name = _name(trial)
        providers.append(
            {
                "name": name,
                "dialect": setup.provider_api,
                "base_url": f"http://{setup.provider_address}/{name}{path}",
                "api_key": "not-a-secret",
                "timeouts": SHORT_TIMEOUTS if trial and trial.case.needs_timeout else TIMEOUTS,
            }
        )
        models.append({"name": name, "targets": [{"provider": name, "model": "conformance"}]})
    return {"providers": providers, "models": models}
