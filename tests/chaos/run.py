"""One run: clients send what the plan says, the programs are disturbed meanwhile, every answer is
judged. Afterwards everything has to work again, and nothing may have crashed."""

import collections
import contextlib
import dataclasses
import http.client
import itertools
import threading
import time

from support import http_client
from support.clients import CLIENTS
from support.programs import wait_until

from . import plan
from .judge import Judge, Untrue
from .world import World

LANES = 24  # requests at a time, at most
KEPT_VIOLATIONS = 20
SAMPLE_EVERY_S = 10
NO_CONNECTION = (ConnectionRefusedError,)
CUT = (ConnectionError, http.client.HTTPException, TimeoutError)


@dataclasses.dataclass
class Settings:
    seed: int = 1
    seconds: float = 20
    store: str = "sqlite"
    rate: float = 50  # requests a second
    failing_share: float = 0.3
    has_disturbances: bool = True


class Result:
    """Counts. Thread-safe."""

    def __init__(self):
        self._lock = threading.Lock()
        self.counts = collections.Counter()  # (sort, kind) -> requests
        self.late = 0  # attempts that a busy machine made late
        self.degraded = collections.Counter()
        self.violations = []
        self.violation_count = 0
        self.disturbances = {}
        self.samples = collections.defaultdict(list)  # program -> [(resident bytes, descriptors)]
        self.seconds = 0.0

    def count(self, sort, kind, late=0, degraded=None):
        with self._lock:
            self.counts[sort, kind] += 1
            self.late += late
            self.degraded[degraded] += degraded is not None

    def violate(self, planned, what):
        with self._lock:
            self.violation_count += 1
            if len(self.violations) < KEPT_VIOLATIONS:
                self.violations.append(f"{what}\n    {planned}")

    def is_mostly_answered(self):
        return self.counts["answered", "ok"] > self.total() / 3

    def total(self):
        return sum(self.counts.values()) + self.violation_count


def prompt_fields(client, text):
    """The fields by which a client of this API says `text`."""
    if client == "responses":
        return {"input": text}
    if client == "completions":
        return {"prompt": text}
    return {"messages": [{"role": "user", "content": text}]}


class Run:
    def __init__(self, settings, directory):
        self._settings = settings
        self._numbers = itertools.count()
        self._result = Result()
        self._is_over = threading.Event()
        self._directory = directory
        # Of carry_out.
        self._began = None
        self._world = None

    def carry_out(self):
        """The Result. Ends all programs, also when it raises."""
        self._world = World(self._directory, self._settings.store)
        with self._judged("at the end"), self._world:
            with self._judged("under disturbances"):
                self._serve()
            with self._judged("after the run"):
                self._heal()
        self._result.disturbances = self._world.counts
        return self._result

    @contextlib.contextmanager
    def _judged(self, when):
        """A program that crashes or does not heal is as bad as an untrue answer."""
        try:
            yield
        except Exception as error:
            self._result.violate(when, f"{type(error).__name__}: {error}")

    def _serve(self):
        self._began = time.monotonic()
        threads = [threading.Thread(target=self._serve_lane) for _ in range(LANES)]
        threads.append(threading.Thread(target=self._sample))
        for thread in threads:
            thread.start()
        try:
            self._disturb()
        finally:
            self._is_over.set()
            for thread in threads:
                thread.join()
            self._result.seconds = time.monotonic() - self._began

    def _disturb(self):
        settings = self._settings
        if settings.has_disturbances:
            kinds = self._world.kinds_of_disturbances()
            for disturbance in plan.disturbances(settings.seed, settings.seconds, kinds):
                self._wait_for(disturbance.at_s)
                self._world.disturb(disturbance)
        self._wait_for(settings.seconds)

    def _wait_for(self, at_s):
        time.sleep(max(0.0, self._began + at_s - time.monotonic()))

    def _serve_lane(self):
        settings = self._settings
        while not self._is_over.is_set():
            number = next(self._numbers)
            self._wait_for(min(number / settings.rate, settings.seconds))
            if self._is_over.is_set():
                return
            planned = plan.request(settings.seed, number, settings.failing_share)
            try:
                self._ask(planned)
            except Exception as error:  # whatever a client could not make sense of
                self._result.violate(planned, f"{type(error).__name__}: {error}")

    def _ask(self, planned):
        while True:
            began = time.monotonic()
            place = self._choose(planned)
            try:
                with place.called() as on_sent:
                    if not place.is_balanced:
                        continue  # since it was chosen
                    self._ask_at(place, planned, on_sent)
                return
            except NO_CONNECTION:
                # As a balancer would: the next one. Nothing was sent.
                if not place.was_away_within(began, time.monotonic()):
                    raise
                time.sleep(0.02)
            except CUT as error:
                if not place.was_killed_within(began, time.monotonic() + 0.1):
                    raise Untrue(f"cut by a gateway that lives: {error!r}") from error
                self._result.count("cut by a killed gateway", "")
                return

    def _choose(self, planned):
        """The place that was planned, or the next that is balanced."""
        gateways = self._world.gateways
        places = [gateways[(planned.gateway + i) % len(gateways)] for i in range(len(gateways))]
        return next((place for place in places if place.is_balanced), places[0])

    def _ask_at(self, place, planned, on_sent):
        client = CLIENTS[planned.client]
        fields = prompt_fields(planned.client, planned.order.prompt())
        if planned.stream:
            fields["stream"] = True
        route = "no-such-model" if planned.conduct == "unknown" else planned.route
        body = b'{"model": ' if planned.conduct == "broken" else client.request(route, **fields)
        with http_client.open_stream(
            place.address, client.path, body, client.headers, on_sent=on_sent
        ) as stream:
            if planned.conduct == "leaves":
                seen = 0
                while seen < planned.leaves_after and (piece := stream.read_some()):
                    seen += len(piece)
                self._result.count("left by the client", "")
                return
            reply = stream.read_all()
        if reply.is_cut:
            raise ConnectionResetError("the answer was cut")
        judge = Judge(planned)
        sort, kind = judge.judge(reply)
        self._result.count(sort, kind, judge.is_late, reply.header("x-candor-degraded"))

    def _sample(self):
        while not self._is_over.wait(SAMPLE_EVERY_S):
            for program in [*(p.process for p in self._world.gateways), *self._world.ratelimitds]:
                try:
                    sample = program.resident_bytes(), program.open_descriptors()
                except OSError:
                    continue  # being restarted
                self._result.samples[program.name.split(".")[0]].append(sample)

    def _heal(self):
        """Every route of every gateway answers, without a word of degradation."""
        for place in self._world.gateways:
            for route in plan.ROUTES:

                def answers():
                    reply = place.process.chat(route)
                    return reply.status == 200 and not reply.header("x-candor-degraded")

                wait_until(answers, f"{route} answers at {place.name} after the run")
        for program in [*(p.process for p in self._world.gateways), *self._world.ratelimitds]:
            program.log_lines()
