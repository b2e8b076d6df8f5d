"""A new version is rolled out, one replica at a time, while callers call: nobody notices. The test
plays Kubernetes: it makes the Service forget a gateway, lets preStop pass, sends SIGTERM, and starts
the next one."""

import contextlib
import itertools
import signal
import threading

from support.programs import wait_until
from support.stack import Pair

CALLERS = 4


class Service:
    """Sends each call to the next of its gateways, from a few callers without pause."""

    def __init__(self, gateways, model):
        self.replies = []
        self._gateways = list(gateways)
        self._model = model
        self._lock = threading.Lock()
        self._turn = itertools.count()
        self._calls_of = dict.fromkeys(gateways, 0)
        self._stopped = threading.Event()
        self._callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]

    def join(self, gateway):
        with self._lock:
            self._calls_of[gateway] = 0
            self._gateways.append(gateway)

    def leave(self, gateway):
        """Returns once what was on its way to the gateway has been answered, as after preStop."""
        with self._lock:
            self._gateways.remove(gateway)
        wait_until(lambda: self._calls_of[gateway] == 0, "its last calls are answered")

    def wait_for_more(self, count, is_counted=lambda reply: True):
        already = len(self.replies)
        wait_until(
            lambda: sum(map(is_counted, self.replies[already:])) >= count,
            f"{count} more such replies have come",
        )

    @contextlib.contextmanager
    def _next_gateway(self):
        with self._lock:
            gateway = self._gateways[next(self._turn) % len(self._gateways)]
            self._calls_of[gateway] += 1
        try:
            yield gateway
        finally:
            with self._lock:
                self._calls_of[gateway] -= 1

    def _call(self):
        for is_stream in itertools.cycle((False, True)):
            if self._stopped.is_set():
                return
            with self._next_gateway() as gateway:
                self.replies.append(gateway.chat(self._model, stream=is_stream))

    def __enter__(self):
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        for caller in self._callers:
            caller.join()


def assert_nobody_noticed(replies, expected_degradations=(None,)):
    assert {reply.status for reply in replies} == {200}
    assert not any(reply.is_cut for reply in replies)
    streams = [r for r in replies if r.header("content-type").startswith("text/event-stream")]
    assert streams and all(r.body.endswith(b"data: [DONE]\n\n") for r in streams)
    assert {reply.header("x-candor-degraded") for reply in replies} <= set(expected_degradations)


def test_gateways_are_replaced_one_by_one_under_load(programs):
    pair = Pair(programs, gateways=3, routes=2)
    short, long = pair.solo(), pair.solo()
    long.first.always(hold_after_events=3)
    with Service(pair.gateways, short.model) as service:
        for number, old in enumerate(pair.gateways):
            service.wait_for_more(20)
            service.join(programs.gateway(pair.config, f"next{number}"))
            with old.open_chat_stream(long.model) as stream:
                stream.read_until(b"Honest")
                service.leave(old)
                old.send(signal.SIGTERM)
                wait_until(lambda: old.admin("/readyz").status == 503, "it drains")
                long.first.release()
                assert stream.read_all().body.endswith(b"data: [DONE]\n\n")
            assert old.wait_for_exit() == 0
        service.wait_for_more(20)

    assert_nobody_noticed(service.replies)


def test_ratelimitd_is_replaced_under_load(programs, tmp_path):
    config = {"store": {"kind": "sqlite", "path": str(tmp_path / "state.db")}}
    pair = Pair(programs, gateways=2, routes=2, ratelimitd_config=config)
    blocked, good = pair.solo(), pair.solo()
    blocked.first.always(status=429, headers={"retry-after": "600"})
    assert pair.gateway.chat(blocked.model).status == 429
    with Service(pair.gateways, good.model) as service:
        service.wait_for_more(20)
        assert pair.ratelimitd.stop() == 0
        service.wait_for_more(20, is_degraded)
        programs.ratelimitd({**config, "listen": pair.ratelimitd.address}, "ratelimitd-next")
        for gateway in pair.gateways:
            wait_until(lambda: not is_degraded(gateway.chat(good.model)), "it asks the next one")
        service.wait_for_more(20)

    assert_nobody_noticed(service.replies, (None, "ratelimitd_unreachable"))
    refused = pair.gateways[1].chat(blocked.model)
    assert refused.kind() == "no_provider_available", "the next one knows what the last one knew"
    assert blocked.first.attempt_count() == 1


def is_degraded(reply):
    return reply.header("x-candor-degraded") is not None
