"""The programs of a run: providers, gateways, ratelimitd on SQLite or two of them on a Redis; and
everything that can be done to them while they serve."""

import contextlib
import dataclasses
import pathlib
import signal
import sys
import threading
import time

from support.programs import Program, free_port, wait_until
from support.redis import RedisServer
from support.stack import API_VERSION, KEY_PREFIXES, Programs, ask

from .plan import PROVIDERS, ROUTES

GATEWAYS = 3
# As short as the shortest disturbance, so that every state comes and goes many times.
HEALTH = {
    "backoff": {"initial": "50ms", "max": "200ms", "ceiling": "300ms"},
    "breaker": {
        "consecutive": 8,
        "lump": "1ms",
        "min_calls": 40,
        "failure_rate": 0.9,
        "open": "100ms",
        "open_max": "300ms",
        "probe_lease": "500ms",
        "probe_successes": 1,
        "ramp": "0s",
        "quorum": 1,
    },
    "block": {"quota": "200ms", "quota_max": "300ms", "auth": "200ms"},
}
TIMEOUTS = {"connect": "1s", "first_byte": "1s", "idle": "1s", "total": "8s"}
# How long a gateway is out of the balancing, and nobody is about to call it, before it is told to
# end, as preStop waits.
LEAVING_S = 0.3


@dataclasses.dataclass
class Outage:
    """When a gateway was not there. Requests that it had are cut, if it was killed."""

    was_killed: bool
    began: float
    ended: float = float("inf")


class GatewayPlace:
    """One address with a gateway behind it: one process after the other."""

    def __init__(self, world, number, config):
        self._world = world
        self.name = f"gateway{number}"
        self.is_balanced = True  # whether new requests go there
        self.outages = []
        self.address = f"127.0.0.1:{free_port()}"
        self._config = {**config, "listen": self.address}
        self._lock = threading.Lock()
        self._callers = 0
        self._starts = 0
        self.process = self._start()

    def _start(self):
        self._starts += 1
        return self._world.programs.gateway(self._config, f"{self.name}.{self._starts}")

    @contextlib.contextmanager
    def away(self, was_killed):
        outage = Outage(was_killed, time.monotonic())
        self.outages.append(outage)
        self.is_balanced = False
        yield
        self.process = self._start()
        outage.ended = time.monotonic()
        self.is_balanced = True

    def kill(self, down_s):
        with self.away(was_killed=True):
            self.process.kill()
            time.sleep(down_s)

    def drain(self, _):
        with self.away(was_killed=False):
            wait_until(lambda: self._callers == 0, f"nobody is about to call {self.name}")
            time.sleep(LEAVING_S)
            self.process.send(signal.SIGTERM)
            assert self.process.wait_for_exit() == 0, self.process.log()

    @contextlib.contextmanager
    def called(self):
        """Somebody is about to call it; gives what he calls when his request is on its way."""
        with self._lock:
            self._callers += 1
        leaving = contextlib.ExitStack()
        leaving.callback(self._leave)
        with leaving:
            yield leaving.close

    def _leave(self):
        with self._lock:
            self._callers -= 1

    def was_away_within(self, began, ended):
        return any(o.began <= ended and o.ended >= began for o in self.outages)

    def was_killed_within(self, began, ended):
        killed = [o for o in self.outages if o.was_killed]
        return any(o.began <= ended and o.ended >= began for o in killed)


class World:
    """`store`: "sqlite" or "redis". Started once constructed, or not at all: nothing stays when one
    program does not start. As a context it ends them all and asserts that nothing crashed."""

    def __init__(self, directory, store):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.redis = None
        self._redis_port = free_port()
        self.counts = {}
        with contextlib.ExitStack() as ending:
            ending.callback(self._stop_redis)
            self.programs = Programs(directory)
            ending.callback(self.programs.stop_all)
            self._start(store)
            self._ending = ending.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        return self._ending.__exit__(*raised)

    def _start(self, store):
        provider = [sys.executable, pathlib.Path(__file__).with_name("provider.py")]
        self.provider = self.programs.add(Program("provider", provider, self.directory))
        if store == "redis":
            self._start_redis()
            config = {"kind": "redis", "url": self.redis.url, "timeout": "100ms"}
        else:
            config = {"kind": "sqlite", "path": str(self.directory / "state.db")}
        self._ratelimitd_config = {"store": config, "defaults": HEALTH, "drain": "100ms"}
        self.ratelimitds = [
            self.programs.ratelimitd(self._ratelimitd_config, f"ratelimitd{i}.0")
            for i in range(2 if store == "redis" else 1)
        ]
        self.gateways = [GatewayPlace(self, i, self._gateway_config()) for i in range(GATEWAYS)]

    def _start_redis(self):
        self.redis = RedisServer(self.directory, port=self._redis_port)

    def _gateway_config(self):
        addresses = ",".join(each.address for each in self.ratelimitds)
        providers = [
            {
                "name": name,
                "dialect": "openai" if dialect == "compatible" else dialect,
                "api_key": f"{KEY_PREFIXES.get(dialect, '')}key-of-{name}",
                "base_url": f"http://{self.provider.addresses['http']}/{name}"
                + ("/v1" if dialect in ("openai", "compatible") else ""),
                "timeouts": TIMEOUTS,
                **({"api_version": API_VERSION} if dialect == "azure" else {}),
                **({"responses": "translated"} if dialect == "compatible" else {}),
            }
            for name, dialect in PROVIDERS.items()
        ]
        models = [
            {"name": route, "targets": [{"provider": p, "model": f"up-{route}"} for p in names]}
            for route, names in ROUTES.items()
        ]
        return {
            "ratelimitd": ask(f"ipv4:{addresses}", deadline="100ms"),
            "providers": providers,
            "models": models,
            "threads": 2,
            "limits": {"drain": "10s"},
        }

    def kinds_of_disturbances(self):
        return [name for name in DISTURBANCES if self.redis or not name.startswith("redis")]

    def disturb(self, disturbance):
        """Returns when everything is as before."""
        act = DISTURBANCES[disturbance.what]
        if disturbance.what.startswith("gateway"):
            act(self.gateways[disturbance.which % len(self.gateways)], disturbance.lasts_s)
        elif disturbance.what.startswith("ratelimitd"):
            act(self, disturbance.which % len(self.ratelimitds), disturbance.lasts_s)
        else:
            act(self, disturbance.lasts_s)
        self.counts[disturbance.what] = self.counts.get(disturbance.what, 0) + 1

    def restart_ratelimitd(self, which, down_s, end):
        old = self.ratelimitds[which]
        end(old)
        time.sleep(down_s)
        name, number = old.name.split(".")
        config = {**self._ratelimitd_config, "listen": old.address}
        self.ratelimitds[which] = self.programs.ratelimitd(config, f"{name}.{int(number) + 1}")

    def pause_redis(self, lasts_s):
        self.redis.pause()
        time.sleep(lasts_s)
        self.redis.resume()

    def restart_redis(self, down_s):
        """It comes back empty."""
        self.redis.kill()
        time.sleep(down_s)
        self._start_redis()

    def _stop_redis(self):
        if self.redis:
            self.redis.stop()


def _pause(program, lasts_s):
    program.pause()
    time.sleep(lasts_s)
    program.resume()


DISTURBANCES = {
    "gateway killed": lambda place, lasts_s: place.kill(lasts_s),
    "gateway drained": lambda place, lasts_s: place.drain(lasts_s),
    "gateway paused": lambda place, lasts_s: _pause(place.process, lasts_s),
    "gateway reloaded": lambda place, _: place.process.send(signal.SIGHUP),
    "ratelimitd killed": lambda world, which, lasts_s: world.restart_ratelimitd(
        which, lasts_s, lambda program: program.kill()
    ),
    "ratelimitd drained": lambda world, which, lasts_s: world.restart_ratelimitd(
        which, lasts_s, lambda program: program.stop()
    ),
    "ratelimitd paused": lambda world, which, lasts_s: _pause(world.ratelimitds[which], lasts_s),
    "redis paused": lambda world, lasts_s: world.pause_redis(lasts_s),
    "redis emptied": lambda world, lasts_s: world.restart_redis(lasts_s),
}
