"""Candor itself: the built gateway with a ratelimitd of its own, on free ports. CANDOR_BUILD names
the build directory (default build/release).

ratelimitd remembers failures, so each trial has a provider of its own.
"""

from support import programs, stack

from ..target import CannotGrade, Gateway

PAIRS = [(client, on) for client in ("chat", "responses") for on in ("openai", "gemini")]
TIMEOUTS = {"connect": "2s", "first_byte": "1s", "idle": "1s", "total": "10s"}


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

    def model(self, number):
        return f"model-{number}"

    def stop(self):
        self._programs.stop_all()


def _routes(setup):
    providers, models = [], []
    for number in range(setup.trials):
        path = "/v1" if setup.provider_api == "openai" else ""
        providers.append(
            {
                "name": f"provider-{number}",
                "dialect": setup.provider_api,
                "base_url": f"http://{setup.provider_address}/provider-{number}{path}",
                "api_key": "not-a-secret",
                "timeouts": TIMEOUTS,
            }
        )
        target = {"provider": f"provider-{number}", "model": "conformance"}
        models.append({"name": f"model-{number}", "targets": [target]})
    return {"providers": providers, "models": models}
