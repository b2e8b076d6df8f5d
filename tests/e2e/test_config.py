"""Configuration: strict, complaints with their place, --check, and reload by SIGHUP."""

import re
import signal
import subprocess

import pytest

from support.programs import gateway_binary, ratelimitd_binary, wait_until
from support.stack import Pair

GATEWAY = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
ratelimitd: {target: "127.0.0.1:1", deadline: 20ms}
providers:
  - name: openai
    dialect: openai
    base_url: "https://api.openai.com/v1"
    api_key: sk-very-secret
models:
  - name: gpt
    targets: [{provider: openai, model: gpt-4o-mini}]
"""

RATELIMITD = """\
listen: 127.0.0.1:0
admin: 127.0.0.1:0
store: {kind: memory}
defaults:
  breaker: {consecutive: 5, open: 5s}
  backoff: {initial: 1s}
providers:
  - {name: openai, breaker: {open: 10s}}
"""

# What is replaced, by what, the line:column that must be named, and a word of the complaint.
GATEWAY_MISTAKES = {
    "unknown key": ("dialect: openai", "dialekt: openai", "6:5", "dialect"),
    "unknown key at the top": ("admin:", "admim:", "2:1", "admin"),
    "wrong type": ("deadline: 20ms", "deadline: [1]", "3:47", "deadline"),
    "duration without a unit": ("deadline: 20ms", "deadline: 20", "3:47", "20"),
    "unknown dialect": ("dialect: openai", "dialect: opena", "6:14", "openai"),
    "dangling provider": ("{provider: openai,", "{provider: opanai,", "11:26", "opanai"),
    "no scheme": ("https://api", "api", "7:15", "http"),
    "no target": ('"127.0.0.1:1"', '""', "3:22", "HOST:PORT"),
    "unknown scheme": ("127.0.0.1:1", "foo://bar", "3:22", "dns:"),
    "unset variable": ("sk-very-secret", "${CANDOR_NOT_SET}", "8:14", "CANDOR_NOT_SET"),
    "duplicate key": ("admin:", "listen:", "2:1", "listen"),
    "not YAML": ("models:", "models: [", "", ""),
}

RATELIMITD_MISTAKES = {
    "unknown key": ("consecutive: 5", "consequtive: 5", "5:13", "consecutive"),
    "wrong type": ("consecutive: 5", "consecutive: many", "5:26", "consecutive"),
    "out of range": ("consecutive: 5", "consecutive: 0", "5:26", "consecutive"),
    "unknown store": ("kind: memory", "kind: memori", "3:15", "memory"),
    "unknown key of a provider": ("{open: 10s}", "{opn: 10s}", "8:30", "open"),
    "not YAML": ("providers:", "providers: {", "", ""),
}


def run(binary, path, *options):
    return subprocess.run(
        [binary, "--config", path, *options], capture_output=True, text=True, timeout=20
    )


@pytest.mark.parametrize(
    "binary, text",
    [(gateway_binary(), GATEWAY), (ratelimitd_binary(), RATELIMITD)],
    ids=["gateway", "ratelimitd"],
)
def test_check_accepts_and_exits(tmp_path, binary, text):
    path = tmp_path / "good.yaml"
    path.write_text(text)
    done = run(binary, path, "--check")

    assert done.returncode == 0, done.stderr
    assert "listening" not in done.stdout


def assert_complains(binary, tmp_path, text, mistake):
    old, new, place, word = mistake
    path = tmp_path / "bad.yaml"
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))
    for options in (["--check"], []):
        done = run(binary, path, *options)
        assert done.returncode not in (0, None) and done.returncode > 0, done
        assert re.search(
            rf"{re.escape(str(path))}:{place or '[0-9]+:[0-9]+'}: ", done.stderr
        ), done.stderr
        assert word in done.stderr
        assert "sk-very-secret" not in done.stderr
        assert "listening" not in done.stdout


@pytest.mark.parametrize("mistake", GATEWAY_MISTAKES.values(), ids=GATEWAY_MISTAKES.keys())
def test_gateway_complains_with_the_place(tmp_path, mistake):
    assert_complains(gateway_binary(), tmp_path, GATEWAY, mistake)


@pytest.mark.parametrize("mistake", RATELIMITD_MISTAKES.values(), ids=RATELIMITD_MISTAKES.keys())
def test_ratelimitd_complains_with_the_place(tmp_path, mistake):
    assert_complains(ratelimitd_binary(), tmp_path, RATELIMITD, mistake)


def test_all_complaints_are_told_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        GATEWAY.replace("dialect:", "dialekt:").replace("deadline: 20ms", "deadline: 20")
    )
    assert (
        len(re.findall(r"bad\.yaml:\d+:\d+: ", run(gateway_binary(), path, "--check").stderr)) >= 2
    )


@pytest.mark.parametrize(
    "binary", [gateway_binary(), ratelimitd_binary()], ids=["gateway", "ratelimitd"]
)
def test_a_missing_file_is_named(tmp_path, binary):
    done = run(binary, tmp_path / "absent.yaml", "--check")
    assert done.returncode > 0
    assert "absent.yaml" in done.stderr


@pytest.mark.parametrize(
    "binary", [gateway_binary(), ratelimitd_binary()], ids=["gateway", "ratelimitd"]
)
def test_version_and_help(binary):
    for option in ("--version", "--help"):
        done = subprocess.run([binary, option], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and done.stdout
    unknown = subprocess.run(
        [binary, "--no-such-option"], capture_output=True, text=True, timeout=20
    )
    assert unknown.returncode > 0


def test_a_taken_port_is_named(programs, tmp_path):
    ratelimitd = programs.ratelimitd()
    path = tmp_path / "taken.yaml"
    path.write_text(GATEWAY.replace("127.0.0.1:0", ratelimitd.addresses["admin"], 1))
    done = run(gateway_binary(), path)
    assert done.returncode > 0
    assert ratelimitd.addresses["admin"] in done.stderr


@pytest.mark.parametrize(
    "key, old, new",
    [
        ("listen", "listen: 127.0.0.1:0", "listen: {}"),
        ("admin", "admin: 127.0.0.1:0", "admin: {}"),
        ("admin_service", "store:", "admin_service: {{listen: '{}'}}\nstore:"),
    ],
)
def test_a_taken_port_is_named_with_its_key(programs, tmp_path, key, old, new):
    taken = programs.ratelimitd().addresses["admin"]
    path = tmp_path / "taken.yaml"
    path.write_text(RATELIMITD.replace(old, new.format(taken), 1))
    done = run(ratelimitd_binary(), path)
    assert done.returncode > 0
    assert done.stderr.startswith(f"ratelimitd: {key}: ") and taken in done.stderr


def test_key_from_a_file_and_from_the_environment(programs, tmp_path):
    pair = Pair(programs, routes=1)
    secret = tmp_path / "key"
    secret.write_text("sk-from-file\n")
    by_file = {**pair.openai_provider("by-file"), "api_key_file": str(secret)}
    del by_file["api_key"]
    by_variable = {**pair.openai_provider("by-variable"), "api_key": "${CANDOR_TEST_KEY}"}
    config = {
        **pair.config,
        "providers": [by_file, by_variable],
        "models": [
            {"name": name, "targets": [{"provider": name, "model": "m"}]}
            for name in ("by-file", "by-variable")
        ],
    }
    gateway = programs.gateway(config, "gateway-keys", env={"CANDOR_TEST_KEY": "sk-from-variable"})

    for name, key in (("by-file", "sk-from-file"), ("by-variable", "sk-from-variable")):
        assert gateway.chat(name).status == 200
        assert pair.fake.attempts(name)[0].header("authorization") == f"Bearer {key}"


def model_names(gateway):
    return {model["id"] for model in gateway.get("/v1/models").json()["data"]}


def test_sighup_reloads(programs):
    pair = Pair(programs, routes=2)
    gateway = pair.gateway
    renamed = [{**model, "name": "renamed"} for model in pair.config["models"][:1]]
    gateway.write_config(
        {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "threads": 1,
            **pair.config,
            "models": renamed,
        }
    )
    gateway.send(signal.SIGHUP)

    wait_until(lambda: model_names(gateway) == {"renamed"}, "the new models are known")
    assert gateway.chat("renamed").status == 200
    assert gateway.chat("solo-0").status == 404


def test_a_bad_file_is_refused_logged_counted_and_the_old_configuration_stays(programs):
    pair = Pair(programs, routes=1)
    gateway = pair.gateway
    before = model_names(gateway)
    counted_before = refused_reloads(gateway)
    gateway.write_config("models: [")
    gateway.send(signal.SIGHUP)

    wait_until(lambda: refused_reloads(gateway) > counted_before, "the refusal is counted")
    assert model_names(gateway) == before
    assert gateway.chat("solo-0").status == 200
    assert gateway.admin("/readyz").status == 200
    assert any("gateway0.yaml:1:" in line.get("error", "") for line in gateway.log_lines())


def test_what_needs_a_restart_is_named_until_it_is_taken_back(programs):
    pair = Pair(programs, routes=1)
    gateway = pair.gateway
    more_threads = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", **pair.config, "threads": 2}
    elsewhere = {**pair.config["ratelimitd"], "target": "127.0.0.1:1"}

    def named_after(config, model):
        gateway.write_config({**config, "models": [{**pair.config["models"][0], "name": model}]})
        gateway.send(signal.SIGHUP)
        wait_until(lambda: model_names(gateway) == {model}, "the configuration is in use")
        return [x["keys"] for x in gateway.log_lines() if x["event"] == "config_needs_restart"]

    assert set(named_after({**more_threads, "ratelimitd": elsewhere}, "first")) == {
        "threads, ratelimitd.target"
    }
    # The signal and the changed file may each have it read once.
    assert named_after(more_threads, "second")[-1] == "threads"
    before = named_after({**more_threads, "threads": 1}, "third")
    assert set(before) == {"threads, ratelimitd.target", "threads"}


def refused_reloads(gateway):
    return sum(
        value
        for name, value in gateway.metrics().items()
        if "reload" in name and 'result="ok"' not in name and "timestamp" not in name
    )


def test_a_stream_in_flight_survives_a_reload(programs):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    route.first.next(chunks=10, chunk_delay_ms=50)
    with pair.gateway.open_chat_stream(route.model) as stream:
        stream.read_until(b"Honest")
        pair.gateway.write_config(
            {
                "listen": "127.0.0.1:0",
                "admin": "127.0.0.1:0",
                "threads": 1,
                **pair.config,
                "models": [],
            }
        )
        pair.gateway.send(signal.SIGHUP)
        wait_until(lambda: model_names(pair.gateway) == set(), "the models are gone")
        assert stream.read_all().body.endswith(b"data: [DONE]\n\n")


def test_a_changed_file_is_noticed_without_a_signal(programs):
    pair = Pair(programs, routes=1)
    pair.gateway.write_config(
        {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "threads": 1,
            **pair.config,
            "models": pair.config["models"][:1],
        }
    )

    wait_until(lambda: model_names(pair.gateway) == {"solo-0"}, "the change is noticed")


def test_ratelimitd_reloads_and_refuses(programs):
    ratelimitd = programs.ratelimitd()
    ratelimitd.write_config("store: [")
    ratelimitd.send(signal.SIGHUP)
    wait_until(lambda: "ratelimitd.yaml:1:" in ratelimitd.log(), "the refusal is logged")
    assert ratelimitd.is_running()
    assert ratelimitd.call("ProviderHealthService/ListProviders", {}) == {}


def test_ratelimitd_names_what_needs_a_restart(programs):
    ratelimitd = programs.ratelimitd()
    listen = {"listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "store": {"kind": "memory"}}
    ratelimitd.write_config({**listen, "threads": 3, "drain": "7s"})
    ratelimitd.send(signal.SIGHUP)

    def told():
        return [x["keys"] for x in ratelimitd.log_lines() if x["event"] == "config_needs_restart"]

    wait_until(told, "it is told")
    assert {"threads", "drain"} <= set(told()[0].split(", "))
