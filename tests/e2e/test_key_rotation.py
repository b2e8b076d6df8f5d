"""Keys of providers come from mounted files and change without a restart, as Kubernetes changes
them: all files of a Secret at once, on each node at its own time."""

import signal
import threading

import pytest

from support.mounted_secret import MountedSecret
from support.programs import wait_until
from support.stack import TIMEOUTS, ask

OLD, NEW = "sk-old-key-0001", "sk-new-key-0002"


class Fleet:
    """Two gateways on two nodes: the Secret of each changes when its node brings it."""

    def __init__(self, programs, directory):
        self.fake = programs.fake_provider()
        self.provider = self.fake.named("openai")
        self.ratelimitd = programs.ratelimitd()
        self.secrets = [MountedSecret(directory / f"node{n}", openai=OLD) for n in range(2)]
        self.gateways = [
            programs.gateway(self._config(secret), f"gateway{n}")
            for n, secret in enumerate(self.secrets)
        ]

    def _config(self, secret):
        provider = {
            "name": "openai",
            "dialect": "openai",
            "base_url": self.provider.base_url(),
            "api_key_file": secret.path("openai"),
            "timeouts": TIMEOUTS,
        }
        return {
            "threads": 2,
            "ratelimitd": ask(self.ratelimitd.address),
            "providers": [provider],
            "models": [{"name": "m", "targets": [{"provider": "openai", "model": "m"}]}],
        }

    def keys_used(self):
        return [attempt.header("authorization") for attempt in self.provider.attempts()]


@pytest.fixture
def fleet(programs, tmp_path):
    return Fleet(programs, tmp_path)


def reloads(gateway):
    return gateway.metrics()['candor_gateway_config_reloads_total{result="ok"}']


def wait_for_reload(gateway, before=0):
    """A signal and the changed file may each have it read once."""
    wait_until(lambda: reloads(gateway) > before, "the key is read again")


def test_a_new_key_ends_the_block_of_the_old_one(fleet):
    first, second = fleet.gateways
    fleet.provider.refuse_key(OLD)
    reply = first.chat("m")
    assert (reply.status, reply.kind()) == (502, "provider_auth"), reply
    assert second.chat("m").header("x-candor-attempts") == "openai:refused(auth):0ms"

    fleet.secrets[0].publish(openai=NEW)
    wait_for_reload(first)
    assert first.chat("m").status == 200, "the very next request"

    # The other node is late: its gateway has the old key still, which must not harm the first.
    reply = second.chat("m")
    assert (reply.status, reply.kind()) == (502, "provider_auth"), reply
    assert first.chat("m").status == 200

    fleet.secrets[1].publish(openai=NEW)
    wait_for_reload(second)
    assert second.chat("m").status == 200
    health = fleet.ratelimitd.provider("openai")["health"]
    assert health["state"] == "HEALTH_STATE_HEALTHY", health
    for gateway in fleet.gateways:
        assert OLD not in gateway.log() and NEW not in gateway.log()


def test_an_answer_to_the_old_key_does_not_block_the_new_one(fleet):
    gateway = fleet.gateways[0]
    fleet.provider.next(status=401, hold=True, body={"error": {"code": "invalid_api_key"}})
    late = []
    caller = threading.Thread(target=lambda: late.append(gateway.chat("m")))
    caller.start()
    fleet.provider.wait_for_attempts(1)
    fleet.secrets[0].publish(openai=NEW)
    gateway.send(signal.SIGHUP)
    wait_for_reload(gateway)
    fleet.provider.release()
    caller.join()

    assert late[0].kind() == "provider_auth"
    assert gateway.chat("m").status == 200


def test_a_rotation_in_time_fails_no_request(fleet):
    gateway = fleet.gateways[0]
    stopped, replies = threading.Event(), []

    def call():
        while not stopped.is_set():
            replies.append(gateway.chat("m", stream=len(replies) % 2 == 1))

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    before = None
    try:
        for number in range(1, 4):
            read_before = reloads(gateway)
            fleet.secrets[0].publish(openai=f"{NEW}-{number}")
            gateway.send(signal.SIGHUP)
            wait_for_reload(gateway, read_before)
            wait_until(
                lambda: fleet.keys_used()[-1:] == [f"Bearer {NEW}-{number}"], "the new key is used"
            )
            before = before or gateway.open_descriptors()
    finally:
        stopped.set()
        for caller in callers:
            caller.join()

    assert {reply.status for reply in replies} == {200}
    assert not any(reply.is_cut for reply in replies)
    assert gateway.open_descriptors() <= before + 4, "connections made for old keys are closed"


def test_an_empty_file_is_refused_and_the_key_stays(fleet):
    gateway = fleet.gateways[0]
    fleet.secrets[0].publish(openai="")
    refused = 'candor_gateway_config_reloads_total{result="refused"}'
    wait_until(lambda: gateway.metrics()[refused] > 0, "it is refused")

    assert gateway.chat("m").status == 200
    assert fleet.keys_used() == [f"Bearer {OLD}"]
