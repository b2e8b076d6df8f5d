"""Starts the programs under test and the fake provider as a person would, on free ports.

Every program keeps its log in a file, announces its addresses on stdout, and is ended by its own
process id: SIGTERM, then SIGKILL.
"""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

from support import http_client

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
# When a test gives up; nothing is ever asserted to take no longer than so much.
START_DEADLINE_S = 60
STOP_DEADLINE_S = 60
WAIT_DEADLINE_S = 60.0
FIRST_PORT = 10_000  # of free_port


def build_directory():
    """Where the binaries are: CANDOR_BUILD, relative to the repository's root."""
    return REPOSITORY / os.environ.get("CANDOR_BUILD", "build/release")


def gateway_binary():
    return build_directory() / "gateway" / "gateway"


def ratelimitd_binary():
    return build_directory() / "ratelimitd" / "ratelimitd"


def tool(name):
    """A program that tests drive: from CANDOR_<NAME>, the PATH, or build/tools."""
    found = os.environ.get(f"CANDOR_{name.upper()}") or shutil.which(name)
    found = found or shutil.which(name, path=str(REPOSITORY / "build" / "tools"))
    assert found, f"{name} is not installed: put it on the PATH or into build/tools"
    return found


def wait_until(is_true, what, deadline_s=WAIT_DEADLINE_S, interval_s=0.02):
    """Asks again and again until `is_true` answers something true, and returns that."""
    until = time.monotonic() + deadline_s
    while not (answer := is_true()):
        assert time.monotonic() < until, f"waited {deadline_s} s in vain until {what}"
        time.sleep(interval_s)
    return answer


class Program:
    """One running process."""

    def __init__(self, name, command, directory, env=None):
        self.name = name
        self.is_ended_by_test = False
        self.log_path = pathlib.Path(directory) / f"{name}.log"
        self._stdout_path = pathlib.Path(directory) / f"{name}.stdout"
        with open(self.log_path, "ab") as log, open(self._stdout_path, "wb") as out:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdout=out,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
            )
        try:
            self.addresses = self._read_addresses()
        except BaseException:
            self.kill()
            raise

    def _read_addresses(self):
        """The pairs of the line "listening key=value ..."."""

        def line():
            assert self.process.poll() is None, f"{self.name} ended at start:\n{self.log()}"
            found = re.search(r"^listening (.*)\n", self._stdout_path.read_text(), re.M)
            return found and found.group(1)

        text = wait_until(line, f"{self.name} listens", START_DEADLINE_S)
        return dict(pair.split("=", 1) for pair in text.split())

    def log(self):
        return self.log_path.read_text(errors="replace")

    def log_lines(self):
        """The JSON objects of the log; every line has to be one."""
        return [json.loads(line) for line in self.log().splitlines()]

    def is_running(self):
        return self.process.poll() is None

    def send(self, number):
        self.process.send_signal(number)

    def pause(self):
        """SIGSTOP; returns once no thread of it runs."""
        self.send(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")

        def is_stopped():
            try:
                states = {(t / "stat").read_text().rsplit(") ")[1][0] for t in tasks.iterdir()}
            except (FileNotFoundError, ProcessLookupError):
                return False  # a thread has just ended
            return states == {"T"}

        wait_until(is_stopped, f"{self.name} is stopped")

    def resume(self):
        self.send(signal.SIGCONT)

    def kill(self):
        """As a crash would: SIGKILL."""
        self.is_ended_by_test = True
        self.process.kill()
        self.process.wait(STOP_DEADLINE_S)

    def stop(self):
        """SIGTERM, then SIGKILL; returns the exit code, also of a process that has ended."""
        self.is_ended_by_test = True
        if self.is_running():
            self.process.terminate()
        try:
            return self.process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_DEADLINE_S)
            raise AssertionError(f"{self.name} did not end on SIGTERM") from None

    def wait_for_exit(self):
        """The exit code of a process that has been told to end."""
        self.is_ended_by_test = True
        return self.process.wait(STOP_DEADLINE_S)

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Service(Program):
    """A program with an admin port."""

    def __init__(self, name, binary, config, directory, env=None):
        self.config_path = pathlib.Path(directory) / f"{name}.yaml"
        self.write_config(config)
        super().__init__(name, [binary, "--config", self.config_path], directory, env)

    def write_config(self, config):
        """`config` is a value (written as JSON, which is YAML) or text."""
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        fresh = self.config_path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.config_path)

    def admin(self, path):
        return http_client.get(self.addresses["admin"], path)

    def metrics(self):
        """{'name{label="value"}': number} of the Prometheus text."""
        lines = self.admin("/metrics").text().splitlines()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines
            if line and not line.startswith("#")
        }


class Ratelimitd(Service):
    def __init__(self, directory, config=None, name="ratelimitd", env=None):
        config = {
            # Not any port: another process, started at the same addresses, has to find them free.
            "listen": f"127.0.0.1:{free_port()}",
            "admin": f"127.0.0.1:{free_port()}",
            "store": {"kind": "memory"},
            "drain": "100ms",
            # Tests of fallback, side by side, would use up the usual budget of the fleet.
            "retry_budget": {"ratio": 100},
            **(config or {}),
        }
        super().__init__(name, ratelimitd_binary(), config, directory, env)
        self.address = self.addresses["grpc"]

    def call(self, method, request=None):
        """A gRPC method by its full name without the package, through grpcurl and reflection."""
        return grpcurl(self.address, f"candor.ratelimitd.v1.{method}", request)

    def provider(self, name):
        """GetProvider as a JSON value."""
        return self.call("ProviderHealthService/GetProvider", {"name": name})["provider"]


def grpcurl(address, method, request=None, check=True, options=("-plaintext",)):
    """The answer as a JSON value. With check=False the finished process instead."""
    command = [tool("grpcurl"), *(str(option) for option in options), "-max-time", "50"]
    if request is not None:
        command += ["-d", json.dumps(request)]
    done = subprocess.run([*command, address, method], capture_output=True, text=True, timeout=60)
    if not check:
        return done
    assert done.returncode == 0, f"grpcurl {method}: {done.stdout}{done.stderr}"
    return json.loads(done.stdout)


class Gateway(Service):
    """`tls`: the ssl.SSLContext of its clients, when the configuration makes it speak HTTPS."""

    def __init__(self, directory, config, name="gateway", env=None, tls=None):
        config = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "threads": 1, **config}
        super().__init__(name, gateway_binary(), config, directory, env)
        self.address = self.addresses["api"]
        self._scheme = "http"
        if tls is not None:
            self.address = http_client.HttpsAddress(self.address, tls)
            self._scheme = "https"

    def url(self, path="/v1"):
        return f"{self._scheme}://{self.address}{path}"

    def post(self, path, body, headers=None):
        """`body`: a value to send as JSON, or bytes."""
        return http_client.post(self.address, path, body, headers)

    def get(self, path, headers=None):
        return http_client.get(self.address, path, headers)

    def chat(self, model, headers=None, **fields):
        """A chat completion. With stream=True the whole stream is read."""
        return self.post("/v1/chat/completions", chat_request(model, **fields), headers)

    def open_chat_stream(self, model, headers=None, **fields):
        """The stream, to be read piece by piece."""
        body = chat_request(model, stream=True, **fields)
        return http_client.open_stream(self.address, "/v1/chat/completions", body, headers)


def chat_request(model, **fields):
    return {"model": model, "messages": [{"role": "user", "content": "Say hello."}], **fields}


def raw_chat(model, *header_lines, **fields):
    """The bytes of a chat completion's request, for a RawConnection."""
    body = json.dumps(chat_request(model, **fields))
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: x", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *header_lines, "", body]).encode()


class FakeProvider(Program):
    """tests/support/fake_provider with verbs. One process plays any number of providers."""

    def __init__(self, directory, name="fake_provider", tls=False):
        command = [sys.executable, REPOSITORY / "tests" / "support" / "fake_provider"]
        if tls:
            command += ["--tls", pathlib.Path(directory) / f"{name}.tls"]
        super().__init__(name, command, directory)

    def named(self, provider):
        return NamedProvider(self, provider)

    def add_rule(self, rule):
        self._control("POST", "/rules", rule)

    def clear(self):
        self._control("DELETE", "/rules")
        self._control("DELETE", "/attempts")

    def set_broken_tls(self, mode):
        self._control("PUT", "/tls", {"mode": mode})

    def release(self, provider):
        self._control("PUT", "/release", {"provider": provider})

    def attempts(self, provider=None):
        query = "" if provider is None else "?provider=" + urllib.parse.quote(provider)
        records = self._control("GET", f"/attempts{query}").json()["attempts"]
        return [SeenAttempt(record) for record in records]

    def _control(self, method, path, value=None):
        reply = http_client.exchange(self.addresses["control"], method, path, value)
        assert reply.status == 200, reply.text()
        return reply


class NamedProvider:
    """One provider that the process plays, told apart by its path."""

    def __init__(self, fake, name):
        self._fake = fake
        self.name = name

    def base_url(self, dialect="openai"):
        path = "/v1" if dialect in ("openai", "compatible") else ""
        return f"http://{self._fake.addresses['http']}/{self.name}{path}"

    def next(self, times=1, **behaviour):
        """The next requests are answered like this (fake_provider/behaviour.py names the keys)."""
        self._add("queue", [{"times": times, **behaviour}])

    def always(self, **behaviour):
        self._add("cycle", [behaviour])

    def attempts(self):
        return self._fake.attempts(self.name)

    def attempt_count(self):
        return len(self.attempts())

    def wait_for_attempts(self, count):
        """The attempts, once there are `count` of them."""
        return wait_until(
            lambda: (seen := self.attempts()) and len(seen) >= count and seen,
            f"{self.name} has been asked {count} times",
        )

    def wait_for_outcome(self, outcome):
        """The first attempt that ended with `outcome`."""
        return wait_until(
            lambda: next((a for a in self.attempts() if a.outcome == outcome), None),
            f"an attempt at {self.name} is {outcome}; seen {[a.outcome for a in self.attempts()]}",
        )

    def release(self):
        """Lets all go on that hold; those that have begun, also when they do not hold yet."""
        self._fake.release(self.name)

    def refuse_key(self, key):
        """Who calls with it from now on has 401."""
        error = {"message": "Incorrect API key provided.", "code": "invalid_api_key"}
        behaviour = {"status": 401, "body": {"error": error}}
        self._fake.add_rule({"provider": self.name, "key": key, "cycle": [behaviour]})

    def _add(self, kind, behaviours):
        self._fake.add_rule({"provider": self.name, kind: behaviours})


class SeenAttempt:
    """What the provider saw of one request; attributes as in fake_provider/attempts.py."""

    def __init__(self, record):
        self.__dict__.update(record)

    def header(self, name):
        return next((v for k, v in self.headers if k.lower() == name), None)

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<attempt {self.number} of {self.provider}: {self.outcome} {self.status}>"


def free_port():
    """A port on which nobody listens now, and that the system gives to nobody who wants any port (as
    every client and all that listens on port 0 do), so that it stays free until it is used."""
    first_given = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(FIRST_PORT, max(first_given, FIRST_PORT + 10_000))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


class RefusingAddress(contextlib.AbstractContextManager):
    """An address at which nobody listens; while the `with` lasts, its port is nobody else's."""

    def __init__(self):
        self._taken = socket.socket()
        self._taken.bind(("127.0.0.1", 0))

    def __str__(self):
        return "%s:%d" % self._taken.getsockname()

    def __exit__(self, *_):
        self._taken.close()
