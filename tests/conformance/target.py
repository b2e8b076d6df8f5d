"""The gateway that is graded, and how an adapter presents it (adapters/README.md)."""

import dataclasses
import importlib
import pathlib

ADAPTERS = pathlib.Path(__file__).with_name("adapters")


class CannotGrade(Exception):
    """The target cannot be graded; the message says why and what helps."""


@dataclasses.dataclass(frozen=True)
class Setup:
    provider_address: str
    provider_api: str
    trials: list  # of cases.Trial
    directory: pathlib.Path


class Gateway:
    """A gateway that needs nothing special: any model, no headers."""

    waits_for_provider_s = None

    def __init__(self, base_url):
        self.base_url = base_url

    def model(self, _trial):
        return "conformance"

    def headers(self, _trial):
        return {}

    def stop(self):
        pass


class GivenGateway(Gateway):
    """What `--target` names: somebody runs it and has pointed it at the suite's provider."""

    def __init__(self, url, model, headers, waits_for_provider_s=None):
        super().__init__(url.rstrip("/").removesuffix("/v1"))
        self._model = model
        self._headers = headers
        self.waits_for_provider_s = waits_for_provider_s

    def model(self, _trial):
        return self._model

    def headers(self, _trial):
        return self._headers


def load_adapter(name):
    """The adapter's module. Raises CannotGrade when there is none of that name."""
    known = sorted(path.stem for path in ADAPTERS.glob("[a-z]*.py"))
    if name not in known:
        raise CannotGrade(f"no adapter {name!r}; there are: {', '.join(known)}")
    return importlib.import_module(f"{__package__}.adapters.{name}")
