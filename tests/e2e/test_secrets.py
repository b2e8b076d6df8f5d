"""No credential leaves. Providers fail in every way they can and echo their keys wherever they can,
clients send theirs in every wrong place, files are broken around keys; afterwards nothing that
anybody else can see holds any of them."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import random
import resource
import signal
import string
import subprocess
import urllib.parse

import pytest

from support import http_client
from support.clients import CLIENTS
from support.programs import (
    Program,
    free_port,
    gateway_binary,
    grpcurl,
    ratelimitd_binary,
    wait_until,
)
from support.redis import RedisServer
from support.stack import Pair
from test_failure_matrix import ENDS, SHAPES, upstream_call

DIALECTS = ("openai", "azure", "anthropic", "gemini")
PREFIXES = {"openai": "sk-", "anthropic": "sk-ant-", "gemini": "AIza", "azure": ""}
BEGINNING = 8
STORE_PASSWORD = "redis-Wm4Kd8Qz2Xv7"


def make_key(prefix, seed):
    """Long, of all characters that a header may carry and an encoding changes, unlike any other."""
    chance = random.Random(seed)
    letters = string.ascii_letters + string.digits
    words = ["".join(chance.choices(letters, k=12)) for _ in range(3)]
    return f"{prefix}{words[0]}+{words[1]}/{words[2]}="


def forms_of(key):
    return {
        "plain": key,
        "in base64": base64.b64encode(key.encode()).decode(),
        "in a URL": urllib.parse.quote(key, safe=""),
        "escaped": key.replace("/", "\\/"),
        "first half": key[: len(key) // 2],
        "beginning": key[:BEGINNING],
        "beginning in base64": base64.b64encode(key.encode()).decode()[:BEGINNING],
    }


class Vault:
    """All keys, and everything that was seen by others."""

    def __init__(self):
        self.keys = {}  # whose -> key
        self.seen = []  # (where, text)

    def add(self, whose, prefix=""):
        self.keys[whose] = make_key(prefix, whose)
        return self.keys[whose]

    def show(self, where, text):
        self.seen.append((where, text))

    def show_reply(self, where, reply):
        self.show(where, reply.text() + "\n" + json.dumps(reply.header_pairs))

    def leaks(self, text, where, but=None):
        """What `text` shows of any key, `but` not of this one's."""
        for whose, key in self.keys.items():
            for form, secret in forms_of(key).items():
                at = text.find(secret)
                if at >= 0 and whose != but:
                    around = text[max(0, at - 100) : at + 60]
                    yield f"{where} shows the key of {whose}, {form}: ...{around}..."

    def all_leaks(self):
        assert len(self.seen) > 100
        return [leak for where, text in self.seen for leak in self.leaks(text, where)]


class Setup(Pair):
    """Two providers of each dialect, three clients, and one key for each of them all."""

    def __init__(self, programs, vault, store):
        self.vault = vault
        super().__init__(
            programs,
            routes={},
            gateways=0,
            ratelimitd_config={
                "store": store,
                "defaults": {
                    "breaker": {"consecutive": 1000, "min_calls": 1000},
                    "block": {"quota": "1ms", "quota_max": "1ms", "auth": "1ms"},
                    "backoff": {"initial": "1ms", "max": "1ms", "ceiling": "1ms"},
                },
                "log_level": "debug",
            },
        )
        timeouts = {"connect": "1s", "first_byte": "300ms", "idle": "300ms"}
        for dialect in DIALECTS:
            names = [f"{dialect}-first", f"{dialect}-second"]
            for name in names:
                provider = self.provider(name, dialect, timeouts)
                provider["api_key"] = vault.add(name, PREFIXES[dialect])
                self.config["providers"].append(provider)
            targets = [{"provider": name, "model": "m"} for name in names]
            self.config["models"].append({"name": dialect, "targets": targets})
        clients = {name: vault.add(name, "ck-") for name in ("team-a", "team-b", "team-c")}
        self.config["clients"] = [
            {"name": name, "key_sha256": hashlib.sha256(key.encode()).hexdigest()}
            for name, key in clients.items()
        ]
        self.client_key = clients["team-a"]
        self.stranger_key = vault.add("a stranger", "ck-")
        self.gateway = programs.gateway(self.config)

    def ask(self, client_name, dialect, **fields):
        client = CLIENTS[client_name]
        key = {"messages": {"x-api-key": self.client_key}}.get(
            client_name, {"authorization": f"Bearer {self.client_key}"}
        )
        reply = http_client.post(
            self.gateway.address,
            client.path,
            client.request(dialect, **fields),
            {**client.headers, **key},
        )
        self.vault.show_reply(f"a reply to {client_name} on {dialect}", reply)
        return reply


def echoes(key):
    """Behaviours of a provider that tells its key wherever it may tell something."""
    forms = forms_of(key)
    message = "; ".join(f"{form} is {secret}" for form, secret in forms.items())
    for status in (200, 400, 401, 403, 404, 429, 500, 503):
        for secret in (key, forms["in base64"], key[:10]):
            error = {"message": message, "type": secret, "code": secret, "param": secret, secret: 1}
            yield {"status": status, "body": {"error": error}}
            yield {"status": status, "body": {"error": {"message": secret, "status": secret}}}
            yield {"status": status, "body": {"error": secret, "detail": [{"msg": secret}]}}
        body = {"type": "error", "error": {"type": key, "message": message}, "request_id": key}
        yield {"status": status, "body": body}
        yield {"status": status, "body": message, "content_type": "text/plain"}
        yield {"status": status, "body": f"<title>{message}</title>", "content_type": "text/html"}
    names = ("x-request-id", "request-id", "apim-request-id", "retry-after", "retry-after-ms")
    names += ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-reset")
    names += ("openai-processing-ms", "www-authenticate", "x-should-retry", "location", "x-key")
    for secret in (key, forms["in base64"], forms["in a URL"], key[:10]):
        headers = {
            **{name: secret for name in names},
            "x-ratelimit-limit-" + urllib.parse.quote(secret, safe=""): "1",
            f"x-ratelimit-{key[:BEGINNING].strip('/+=')}": "1",
        }
        for status in (200, 302, 401, 429, 500):
            behaviour = {"status": status, "headers": headers}
            yield behaviour if status != 302 else {**behaviour, "body": ""}


def fail_in_every_way(setup):
    for dialect in DIALECTS:
        call = upstream_call("chat_completions", dialect)
        first = setup.fake.named(f"{dialect}-first")
        second = setup.fake.named(f"{dialect}-second")
        key, other = setup.vault.keys[first.name], setup.vault.keys[second.name]
        message = "; ".join(forms_of(key).values())
        behaviours = [shape(call, message) for shape in SHAPES.values()]
        behaviours += [
            {"cut_after_events": cut, **end(call, message)} for end in ENDS.values() for cut in (0, 3)
        ]
        behaviours += list(echoes(key))
        for number, behaviour in enumerate(filter(None, behaviours)):
            behaviour = {k: v for k, v in behaviour.items() if k != "has_message"}
            first.next(**behaviour)
            if number % 2:  # else the second provider steps in
                second.next(status=500, body={"error": {"message": other, "code": other}})
            client = ["chat_completions", "messages", "responses"][number % 3]
            setup.ask(client, dialect, stream=number % 4 < 2)
        setup.fake._control("DELETE", "/rules")


def misuse_client_keys(setup):
    own, stranger = setup.client_key, setup.stranger_key
    body = CLIENTS["chat_completions"].request("openai")
    places = [
        {"authorization": f"Bearer {stranger}"},
        {"authorization": f"Basic {base64.b64encode(f':{stranger}'.encode()).decode()}"},
        {"authorization": stranger},
        {"x-api-key": stranger},
        {"api-key": stranger},
        {"x-goog-api-key": stranger},
        {"cookie": stranger, "proxy-authorization": stranger},
        {"authorization": f"Bearer {own}", "x-api-key": stranger, "x-forwarded-for": stranger},
        {"authorization": f"Bearer {own}", "user-agent": stranger, "openai-organization": stranger},
    ]
    for headers in places:
        for path in ("/v1/chat/completions", f"/v1/chat/completions?key={stranger}", "/v1/models"):
            reply = http_client.post(setup.gateway.address, path, body, headers)
            setup.vault.show_reply("a reply to a wrong key", reply)
            reply = http_client.post(setup.gateway.address, path, b"{", headers)
            setup.vault.show_reply("a reply to a broken request", reply)


def broken_files(setup):
    """What is wrong -> the text of a configuration in which keys stand at the wrong place."""
    key, client_key = setup.vault.keys["openai-first"], setup.client_key
    good = json.dumps(setup.config, indent=1)

    def provider(omits=None, **fields):
        first = {**setup.config["providers"][0], **fields}
        first.pop(omits, None)
        return json.dumps({**setup.config, "providers": [first, *setup.config["providers"][1:]]})

    def client(**fields):
        first = {**setup.config["clients"][0], **fields}
        return json.dumps({**setup.config, "clients": [first, *setup.config["clients"][1:]]})

    return {
        "the key in a list": provider(api_key=[key]),
        "the key in an object": provider(api_key={"value": key}),
        "the key as a field": provider(**{key: "x"}),
        "the key as the name of a file": provider(api_key_file=key, omits="api_key"),
        "the key in the URL": provider(base_url=f"https://user:{key}@example.com/v1"),
        "the key in the query": provider(base_url=f"https://example.com/v1?key={key}"),
        "the key as the dialect": provider(dialect=key),
        "the key as a duration": provider(timeouts={"total": key}),
        "the key as a number": provider(max_connections=key),
        "a line break in the key": provider(api_key=f"{key}\nx"),
        "a client's key instead of its hash": client(key_sha256=client_key),
        "a client's key beside its hash": client(key=client_key),
        "no YAML": good.replace(json.dumps(key), json.dumps(key) + " } ]"),
        "an open quote": good.replace(json.dumps(key), f'"{key}'),
        "a tab": f"providers:\n\t- api_key: {key}\n",
        "the key alone": key,
        "a variable without an end": provider(api_key="${" + key),
        "a variable that is not set": provider(api_key="${CANDOR_NO_SUCH:?" + key + "}"),
    }


def read_broken_files(setup, tmp_path):
    for what, text in broken_files(setup).items():
        path = tmp_path / "broken.yaml"
        path.write_text(text)
        for binary in (gateway_binary(), ratelimitd_binary()):
            done = subprocess.run(
                [binary, "--check", "--config", path], capture_output=True, text=True, timeout=20
            )
            assert done.returncode != 0, (what, done.stdout)
            setup.vault.show(f"{binary.name} --check with {what}", done.stdout + done.stderr)
        setup.gateway.write_config(text)
        before = setup.gateway.metrics()['candor_gateway_config_reloads_total{result="refused"}']
        setup.gateway.send(signal.SIGHUP)
        refused = 'candor_gateway_config_reloads_total{result="refused"}'
        wait_until(lambda: setup.gateway.metrics()[refused] > before, f"{what} is refused")
    setup.gateway.write_config(setup.config)
    setup.gateway.send(signal.SIGHUP)


def look_at_programs(setup):
    vault = setup.vault
    for program in (setup.gateway, setup.ratelimitd):
        vault.show(f"the metrics of {program.name}", program.admin("/metrics").text())
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if str(program.process.pid) == path.parent.name:
                    vault.show(f"the command line of {program.name}", path.read_text())
            except OSError:
                pass
    for method, request in (
        ("ListProviders", {"page_size": 1000}),
        *(("GetProvider", {"name": f"{dialect}-first"}) for dialect in DIALECTS),
    ):
        told = setup.ratelimitd.call(f"ProviderHealthService/{method}", request)
        vault.show(f"{method} of ratelimitd", json.dumps(told))
    listed = grpcurl(setup.ratelimitd.address, "grpc.health.v1.Health/Check", {"service": ""})
    vault.show("the health of ratelimitd", json.dumps(listed))


def look_at_requests(setup):
    """A provider is told its own key and no other; what clients sent by mistake reaches nobody."""
    attempts = setup.fake.attempts()
    assert len(attempts) > 500
    for attempt in attempts:
        text = "\n".join([attempt.target, json.dumps(attempt.headers), attempt.body])
        where = f"a request to {attempt.provider}"
        assert not list(setup.vault.leaks(text, where, but=attempt.provider))


def crash(program):
    """Aborts it; whether the kernel wrote a core dump."""
    limits = pathlib.Path(f"/proc/{program.process.pid}/limits").read_text()
    assert " ".join(limits.split("Max core file size")[1].split()[:2]) == "0 0"
    return abort(program)


def abort(program):
    """Whether the kernel wrote a core dump."""
    program.is_ended_by_test = True
    program.send(signal.SIGABRT)
    ended = os.waitid(os.P_PID, program.process.pid, os.WEXITED | os.WNOWAIT)
    program.process.wait(20)
    return ended.si_code == os.CLD_DUMPED


@pytest.fixture(params=["sqlite", "redis"])
def setup(programs, request, tmp_path):
    vault = Vault()
    if request.param == "sqlite":
        store = {"kind": "sqlite", "path": str(tmp_path / "state.db")}
        yield Setup(programs, vault, store)
        return
    vault.keys["the store"] = STORE_PASSWORD
    redis = RedisServer(tmp_path, options={"requirepass": STORE_PASSWORD, "rdbcompression": "no"})
    store = {"kind": "redis", "url": redis.url, "password": STORE_PASSWORD, "timeout": "500ms"}
    setup = Setup(programs, vault, store)
    setup.redis = redis
    yield setup
    redis.stop()


def read_store(setup, tmp_path):
    if hasattr(setup, "redis"):
        assert setup.redis.command("SAVE") == "OK"
    files = [*tmp_path.glob("state.db*"), *tmp_path.glob("dump.rdb")]
    assert files
    return {path.name: path.read_bytes().decode("latin-1") for path in files}


def test_no_credential_is_seen_by_anybody_else(setup, tmp_path):
    fail_in_every_way(setup)
    misuse_client_keys(setup)
    look_at_programs(setup)
    read_broken_files(setup, tmp_path)
    look_at_requests(setup)
    for name, text in read_store(setup, tmp_path).items():
        setup.vault.show(name, text)
    assert not any([crash(program) for program in (setup.gateway, setup.ratelimitd)])
    assert not list(pathlib.Path.cwd().glob("core*")), "no core dump"
    for program in (setup.gateway, setup.ratelimitd):
        setup.vault.show(f"the log of {program.name}", program.log())
        setup.vault.show(f"what {program.name} prints", program._stdout_path.read_text())

    leaks = setup.vault.all_leaks()
    assert not leaks, "\n".join(leaks[:30])


# Root reads everything; without these rights it is held to what any other user is.
RIGHTS = "-sys_ptrace,-perfmon,-sys_admin"
NO_DEBUGGER = ["setpriv", "--bounding-set", RIGHTS] if os.geteuid() == 0 else []


def can_be_looked_into(pid):
    """By another process of the same user. Its variables are guarded as its memory is."""
    command = [*NO_DEBUGGER, "cat", f"/proc/{pid}/environ"]
    return subprocess.run(command, capture_output=True, timeout=20).returncode == 0


@pytest.mark.parametrize("binary", [gateway_binary(), ratelimitd_binary()], ids=lambda b: b.name)
def test_memory_is_closed_to_others_and_leaves_no_core_dump(binary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0"}
    if binary.name == "gateway":
        config["ratelimitd"] = {"target": f"127.0.0.1:{free_port()}"}
        config |= {"providers": [], "models": []}
    else:
        config["store"] = {"kind": "memory"}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    command = [*NO_DEBUGGER, binary, "--config", "config.yaml"]
    program = Program(binary.name, command, tmp_path, {"OPENAI_API_KEY": make_key("sk-", 1)})
    usual = subprocess.Popen([*NO_DEBUGGER, "sleep", "60"])
    try:
        wait_until(lambda: can_be_looked_into(usual.pid), "the usual program can be looked into")
    finally:
        usual.kill()
        usual.wait()
    assert not can_be_looked_into(program.process.pid)

    with contextlib.suppress(PermissionError):  # where somebody may lift the limit, it helps nobody
        resource.prlimit(program.process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    assert not abort(program)
    assert not list(tmp_path.glob("core*"))
