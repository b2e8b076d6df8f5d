"""kill -9 of a ratelimitd on sqlite, again and again under load: what it acknowledged is there.

CANDOR_KILLS says how often (default 8).
"""

import json
import os
import pathlib
import random
import subprocess
import threading

import pytest

from support.programs import tool, wait_until
from support.stack import Pair
from test_ratelimitd_crash import Load, is_degraded, restart, sqlite

KILLS = int(os.environ.get("CANDOR_KILLS", "8"))
REPORTS_A_ROUND = 400
REMAINING_S = 900
# One failure opens, for as long as the waits last that providers ask for.
DEFAULTS = {
    "backoff": {"ceiling": "1h"},
    "breaker": {"consecutive": 1, "lump": "0s", "open": "900s", "open_max": "900s"},
}


class Reporter:
    """A gateway's session that reports failures of ever new targets, until the session breaks."""

    KINDS = {
        "RATE_LIMITED": {"retry_after_ms": REMAINING_S * 1000},
        "OVERLOADED": {},
        "QUOTA_EXHAUSTED": {"retry_after_ms": REMAINING_S * 1000},
    }
    STATES = {"RATE_LIMITED": "BACKING_OFF", "OVERLOADED": "OPEN", "QUOTA_EXHAUSTED": "BLOCKED"}

    def __init__(self, ratelimitd, number):
        self._number = number
        self._process = subprocess.Popen(
            [
                *(tool("grpcurl"), "-plaintext", "-max-time", "60", "-d", "@", ratelimitd.address),
                "candor.ratelimitd.v1.AdmissionService/Session",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers = b""
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        name = f"reporter-{number}"
        self._send({"hello": {"reporter": name, "host": name}})

    def _read(self):
        for line in self._process.stdout:
            self._answers += line

    def _send(self, message):
        try:
            self._process.stdin.write(json.dumps(message).encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def target(self, i):
        """Quota is a matter of the provider, so those have one of their own."""
        provider = f"round-{self._number}"
        return f"{provider}-quota-{i}" if self.kind(i) == "QUOTA_EXHAUSTED" else provider, f"m-{i}"

    def kind(self, i):
        return "QUOTA_EXHAUSTED" if i % 100 == 0 else ["RATE_LIMITED", "OVERLOADED"][i % 2]

    def report(self, count):
        """The first `count`, a few in each message."""
        for first in range(1, count + 1, 10):
            numbers = range(first, min(first + 10, count + 1))
            self._send({"reports": [self._report(i) for i in numbers]})

    def _report(self, i):
        provider, model = self.target(i)
        return {
            "sequence_number": i,
            "target": {"provider": provider, "model": model},
            "kind": f"OUTCOME_KIND_{self.kind(i)}",
            **self.KINDS[self.kind(i)],
        }

    def answered(self):
        return self._answers.count(b"ACK_STATUS_APPLIED")

    def acknowledged(self):
        """The numbers of all reports that were, once the session has broken."""
        self._process.stdin.close()
        self._process.wait(60)
        self._reading.join()
        text, decoder, numbers = self._answers.decode(), json.JSONDecoder(), []
        while text := text.strip():
            message, end = decoder.raw_decode(text)
            text = text[end:]
            for ack in message.get("acks", []):
                assert ack["status"] == "ACK_STATUS_APPLIED"
                numbers.append(int(ack["sequence_number"]))
        return numbers


def states(ratelimitd, reporter, numbers):
    """{number: (state, remaining seconds)} of what the reports were about."""
    known = {}
    providers = {reporter.target(i)[0] for i in numbers}
    for name in providers:
        provider = ratelimitd.provider(name)
        for target in provider.get("targets", []):
            known[name, target["model"]] = target["health"]
        if provider["health"]["state"] == "HEALTH_STATE_BLOCKED":
            known[name, None] = provider["health"]
    found = {}
    for i in numbers:
        provider, model = reporter.target(i)
        health = known.get((provider, None)) or known.get((provider, model))
        found[i] = health and (health["state"], float(health["remaining"].rstrip("s")))
    return found


def test_every_acknowledged_failure_survives_kill_9(programs, tmp_path, record_property):
    rng = random.Random(KILLS)
    config = sqlite(tmp_path, defaults=DEFAULTS, bounds={"targets": 100_000})
    pair = Pair(programs, routes={"openai": 1}, ratelimitd_config=config)
    ratelimitd, total, at_targets, cut_short = pair.ratelimitd, 0, 0, 0
    with Load(pair.gateway, pair.solo().model, threads=2) as load:
        for number in range(KILLS):
            reporter = Reporter(ratelimitd, number)
            killed_after = rng.randrange(1, REPORTS_A_ROUND)
            reporter.report(REPORTS_A_ROUND)
            enough = lambda: reporter.answered() >= killed_after  # noqa: E731
            wait_until(enough, "so many are acknowledged", interval_s=0.0005)
            ratelimitd.kill()
            acknowledged = reporter.acknowledged()
            cut_short += len(acknowledged) < REPORTS_A_ROUND

            ratelimitd = restart(programs, ratelimitd, config, f"ratelimitd-{number}")

            for i, state in states(ratelimitd, reporter, acknowledged).items():
                assert state is not None, f"report {i} of round {number} is lost"
                name, remaining_s = state
                assert name == f"HEALTH_STATE_{reporter.STATES[reporter.kind(i)]}", (number, i)
                # Openings are a quarter longer or shorter by chance; a restart takes a while.
                assert 0.7 * REMAINING_S < remaining_s < 1.26 * REMAINING_S, (number, i, state)
            total += len(acknowledged)
            at_targets += sum(reporter.kind(i) != "QUOTA_EXHAUSTED" for i in acknowledged)
        load.wait_for_more(5, lambda reply: not is_degraded(reply))
    assert {reply.status for reply in load.replies} == {200}
    metrics = ratelimitd.metrics()
    kept = [metrics[f'candor_ratelimitd_targets{{state="{s}"}}'] for s in ("backing_off", "open")]
    assert sum(kept) >= at_targets, "what earlier rounds have left is there as well"
    assert metrics["candor_ratelimitd_store_files_set_aside_total"] == 0
    record_property("kills", KILLS)
    record_property("acknowledged", total)
    record_property("killed_with_reports_unanswered", cut_short)
    record_property("requests", len(load.replies))
    print(
        f"{KILLS} kills, {total} acknowledged failures, {cut_short} times others were unanswered, "
        f"{len(load.replies)} requests"
    )


def fill(ratelimitd, number):
    """Failures of a hundred targets, acknowledged; returns who has reported them."""
    reporter = Reporter(ratelimitd, number)
    reporter.report(100)
    wait_until(lambda: reporter.answered() == 100, "all are acknowledged")
    return reporter


def turn_into_garbage(path):
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def cut_in_the_middle(path):
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)


def turn_bits(path):
    """Of every page but the first."""
    content = bytearray(path.read_bytes())
    for at in range(4096, len(content), 4096):
        content[at : at + 64] = bytes(byte ^ 0xFF for byte in content[at : at + 64])
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [turn_into_garbage, cut_in_the_middle, turn_bits])
def test_a_damaged_database_is_set_aside_and_said_to_be(programs, tmp_path, damage):
    config = sqlite(tmp_path, defaults=DEFAULTS)
    database = tmp_path / "state.db"
    first = programs.ratelimitd(config)
    fill(first, 1).acknowledged()
    first.stop()
    damage(database)
    damaged = database.read_bytes()

    second = restart(programs, first, config, "ratelimitd-second")

    assert second.call("ProviderHealthService/ListProviders") == {}
    assert second.metrics()["candor_ratelimitd_store_files_set_aside_total"] == 1
    [told] = [line for line in second.log_lines() if line["event"] == "store_damaged"]
    assert told["level"] == "error"
    assert told["consequence"] == "starting empty"
    assert str(database) in told["error"]
    kept = pathlib.Path(told["set_aside"]).read_bytes()
    # Opening a database counts in its first page.
    assert (len(kept), kept[4096:]) == (len(damaged), damaged[4096:])

    reporter = fill(second, 2)
    second.kill()
    acknowledged = reporter.acknowledged()
    third = restart(programs, first, config, "ratelimitd-third")
    assert len(acknowledged) == 100
    assert None not in states(third, reporter, acknowledged).values()
    assert third.metrics()["candor_ratelimitd_store_files_set_aside_total"] == 0
