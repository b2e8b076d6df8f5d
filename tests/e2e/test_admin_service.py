"""What operators do by hand, with grpcurl, and what gateways and people see of it."""

import json
import subprocess

import pytest

from support.fake_provider.authority import Authority
from support.programs import grpcurl, tool, wait_until
from support.redis import RedisServer
from support.stack import Pair, ask

PACKAGE = "candor.ratelimitd.v1"
ADMIN = f"{PACKAGE}.AdminService"
OWN_LISTENER = {"admin_service": {"listen": "127.0.0.1:0"}}
PAIR = {
    "gateways": 2,
    "routes": 24,
    "ratelimitd_config": {**OWN_LISTENER, "defaults": {"breaker": {"open": "300s"}}},
}


class Operator:
    """Calls AdminService on its own listener."""

    def __init__(self, ratelimitd):
        self.address = ratelimitd.addresses["operators"]

    def call(self, method, **request):
        return grpcurl(self.address, f"{ADMIN}/{method}", request)

    def refusal(self, method, **request):
        """What grpcurl says of a call that fails."""
        done = grpcurl(self.address, f"{ADMIN}/{method}", request, check=False)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def force(self, mode, provider, expires_in="3600s", reason="Maintenance", **more):
        """The provider as it is from now on."""
        mode = f"OVERRIDE_MODE_{mode}"
        request = {"provider": provider, "mode": mode, "reason": reason, **more}
        if expires_in:
            request["expires_in"] = expires_in
        return self.call("Override", **request)["provider"]

    def end(self, provider, **more):
        return self.force("END", provider, expires_in=None, reason="Done", **more)


@pytest.fixture(scope="module")
def operator(pair):
    return Operator(pair.ratelimitd)


def drained(name):
    return f"{name}:refused(drained)"


def test_off_unless_configured(programs):
    ratelimitd = programs.ratelimitd()
    command = [tool("grpcurl"), "-plaintext", ratelimitd.address, "list"]
    assert "AdminService" not in subprocess.run(command, capture_output=True, text=True).stdout


def test_gateways_know_nothing_of_it_when_it_has_a_listener_of_its_own(pair, operator):
    for address, is_there in ((pair.ratelimitd.address, False), (operator.address, True)):
        command = [tool("grpcurl"), "-plaintext", address, "list"]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
        assert (ADMIN in listed) == is_there


def test_a_provider_taken_out_by_hand(pair, operator):
    route = pair.duo()
    name = route.first.name
    assert pair.gateway.chat(route.model).status == 200

    seen = operator.force("FORCE_OPEN", name, reason="The region is being moved.")

    assert seen["health"]["state"] == "HEALTH_STATE_FORCED_OPEN"
    assert seen["health"]["why"] == "An operator has taken it out: The region is being moved."
    assert 3500 < float(seen["health"]["remaining"].rstrip("s")) <= 3600
    assert seen["health"]["transitions"][-1]["to_state"] == "HEALTH_STATE_FORCED_OPEN"
    for gateway in pair.gateways:
        reply = gateway.chat(route.model)
        assert reply.status == 200 and drained(name) in reply.header("x-candor-attempts")
    assert pair.ratelimitd.provider(name)["health"]["state"] == "HEALTH_STATE_FORCED_OPEN"
    health = grpcurl(
        pair.ratelimitd.address, "grpc.health.v1.Health/Check", {"service": f"provider/{name}"}
    )
    assert health == {"status": "NOT_SERVING"}
    metrics = pair.ratelimitd.metrics()
    shown = f'candor_ratelimitd_provider_state{{provider="{name}",state="forced_open"}}'
    assert metrics[shown] == 1
    assert metrics['candor_ratelimitd_overrides{mode="forced_open"}'] >= 1

    assert operator.end(name)["health"]["state"] == "HEALTH_STATE_HEALTHY"
    assert drained(name) not in pair.gateway.chat(route.model).header("x-candor-attempts")


def test_a_route_without_another_provider_is_told_the_true_wait(pair, operator):
    route = pair.solo()
    operator.force("FORCE_OPEN", route.first.name, expires_in="3600s", allow_missing=True)

    reply = pair.gateway.chat(route.model)

    assert reply.status == 503 and reply.kind() == "no_provider_available"
    assert 3_500_000 < reply.wait_ms() <= 3_601_000
    assert reply.json()["error"]["candor"]["targets"][0]["reason"] == "drained"
    assert route.first.attempt_count() == 0


def test_one_target_alone(pair, operator):
    route = pair.solo()
    pair.gateway.chat(route.model)
    model = route.first.attempts()[0].model

    seen = operator.force("FORCE_OPEN", route.first.name, model=model)

    assert seen["health"]["state"] == "HEALTH_STATE_HEALTHY"
    assert seen["targets"][0]["health"]["state"] == "HEALTH_STATE_FORCED_OPEN"
    assert pair.gateway.chat(route.model).kind() == "no_provider_available"


def test_forced_closed_and_observe_only_let_pass_what_would_be_refused(pair, operator):
    route = pair.solo()
    name = route.first.name
    route.first.next(status=401, body={"error": {"message": "Bad key.", "code": "invalid_api_key"}})
    assert pair.gateway.chat(route.model).status == 502
    assert pair.gateway.chat(route.model).kind() == "no_provider_available"

    for mode, state in (("FORCE_CLOSED", "FORCED_CLOSED"), ("OBSERVE_ONLY", "OBSERVE_ONLY")):
        seen = operator.force(mode, name)
        assert seen["health"]["state"] == f"HEALTH_STATE_{state}"
        assert seen["health"]["active_override"]["learned_state"] == "HEALTH_STATE_BLOCKED"
        route.first.next(status=400, body={"error": {"message": "?", "code": "invalid_value"}})
        assert pair.gateway.chat(route.model).status == 400, "the provider was asked"

    ruling = pair.ratelimitd.provider(name)["health"]["active_override"]
    assert ruling["overruled_requests"] == "1", "since it began"
    overruled = 'candor_ratelimitd_overruled_asks_total{reason="auth_failed"}'
    assert pair.ratelimitd.metrics()[overruled] == 2
    target = {"provider": name, "model": route.first.attempts()[0].model}
    peek = {"correlation_id": 1, "mode": "ADMIT_MODE_PEEK", "targets": [target]}
    verdict = pair.ratelimitd.call("AdmissionService/Admit", {"reporter": "x", "ask": peek})
    [decision] = verdict["verdict"]["decisions"]
    assert decision["overruled_reason"] == "REFUSAL_REASON_AUTH_FAILED"

    operator.end(name)
    assert pair.gateway.chat(route.model).kind() == "no_provider_available"


def test_reset_forgets(pair, operator):
    route = pair.solo()
    route.first.next(status=429, headers={"retry-after": "600"})
    pair.gateway.chat(route.model)
    assert pair.gateways[1].chat(route.model).kind() == "no_provider_available"

    seen = operator.call("Reset", provider=route.first.name, reason="It was a false alarm")

    history = seen["provider"]["targets"][0]["health"]["transitions"]
    assert history[-1]["why"] == "An operator has reset it: It was a false alarm."
    for gateway in pair.gateways:
        assert gateway.chat(route.model).status == 200


def test_it_ends_by_itself(pair, operator):
    route = pair.solo()
    seen = operator.force("FORCE_OPEN", route.first.name, expires_in="1s", allow_missing=True)
    assert seen["health"]["state"] == "HEALTH_STATE_FORCED_OPEN"

    wait_until(lambda: pair.gateway.chat(route.model).status == 200, "the override has ended")

    history = pair.ratelimitd.provider(route.first.name)["health"]["transitions"]
    assert history[-1]["why"] == "The override has ended."


def test_watchers_are_told(pair, operator, tmp_path):
    route = pair.solo()
    pair.gateway.chat(route.model)
    out = tmp_path / "watch"
    method = f"{PACKAGE}.ProviderHealthService/WatchProviders"
    with open(out, "wb") as sink:
        watch = subprocess.Popen(
            [tool("grpcurl"), "-plaintext", pair.ratelimitd.address, method], stdout=sink
        )
    try:
        wait_until(lambda: "WATCH_EVENT_KIND_SNAPSHOT" in out.read_text(), "the snapshot comes")
        operator.force("FORCE_OPEN", route.first.name, reason="Look at me")
        wait_until(lambda: "Look at me" in out.read_text(), "the change comes")
    finally:
        watch.terminate()
        watch.wait(10)


GOOD = {
    "provider": "openai",
    "mode": "OVERRIDE_MODE_FORCE_OPEN",
    "reason": "r",
    "expires_in": "60s",
    "allow_missing": True,
}
# What is changed in a good request, the code and the reason.
MISTAKES = {
    "no provider": ({"provider": ""}, "InvalidArgument", "NO_PROVIDER"),
    "long name": ({"model": "m" * 257}, "InvalidArgument", "BAD_NAME"),
    "no mode": ({"mode": "OVERRIDE_MODE_UNSPECIFIED"}, "InvalidArgument", "BAD_MODE"),
    "unknown mode": ({"mode": 99}, "InvalidArgument", "BAD_MODE"),
    "no reason": ({"reason": ""}, "InvalidArgument", "BAD_REASON"),
    "long reason": ({"reason": "r" * 201}, "InvalidArgument", "BAD_REASON"),
    "reason with a line": ({"reason": "a\nb"}, "InvalidArgument", "BAD_REASON"),
    "no expiry": ({"expires_in": None}, "InvalidArgument", "BAD_EXPIRY"),
    "too short": ({"expires_in": "0.999s"}, "InvalidArgument", "BAD_EXPIRY"),
    "too long": ({"expires_in": "86400.001s"}, "InvalidArgument", "BAD_EXPIRY"),
    "negative": ({"expires_in": "-60s"}, "InvalidArgument", "BAD_EXPIRY"),
    "absurd": ({"expires_in": "9000000000s"}, "InvalidArgument", "BAD_EXPIRY"),
    "end with expiry": ({"mode": "OVERRIDE_MODE_END"}, "InvalidArgument", "BAD_EXPIRY"),
    "unknown": ({"provider": "opnai", "allow_missing": False}, "NotFound", "UNKNOWN_PROVIDER"),
    "unknown model": (
        {"provider": "opnai", "model": "m", "allow_missing": False},
        "NotFound",
        "UNKNOWN_TARGET",
    ),
}


@pytest.mark.parametrize("change, code, reason", MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_told(operator, change, code, reason):
    request = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    said = operator.refusal("Override", **request)
    assert f"Code: {code}" in said and f'"reason":"{reason}"' in said.replace(" ", ""), said


def test_where_there_is_no_room_the_remedy_is_told(programs):
    operator = Operator(programs.ratelimitd({**OWN_LISTENER, "bounds": {"targets": 1}}))
    operator.force("FORCE_OPEN", "openai", model="gpt", allow_missing=True)
    for more in ({}, {"model": "m"}):
        said = operator.refusal("Override", **{**GOOD, "provider": "azure", **more})
        assert "ResourceExhausted" in said and "NO_ROOM" in said and "bounds.targets" in said


def test_reset_needs_a_reason_and_something_known(operator):
    assert "BAD_REASON" in operator.refusal("Reset", provider="openai")
    assert "UNKNOWN_PROVIDER" in operator.refusal("Reset", provider="nobody", reason="r")


def test_the_log_has_what_was_done_and_nothing_else(programs):
    ratelimitd = programs.ratelimitd(OWN_LISTENER)
    operator = Operator(ratelimitd)
    operator.refusal("Reset", provider="opnai", reason="r")
    operator.refusal("Override", **{**GOOD, "provider": "opnai", "allow_missing": False})
    operator.force("FORCE_OPEN", "openai", allow_missing=True)
    operator.call("Reset", provider="openai", reason="Paid")

    lines = [line for line in ratelimitd.log_lines() if line["event"] in ("override", "reset")]
    done = [(line["event"], line["provider"]) for line in lines]
    assert done == [("override", "openai"), ("reset", "openai")]


def test_the_configuration_in_force(pair, operator):
    answer = operator.call("GetConfig")
    assert answer["path"] == str(pair.ratelimitd.config_path)
    assert "open: 5m" in answer["yaml"] and "kind: memory" in answer["yaml"]


def test_reload(programs, tmp_path):
    ratelimitd = programs.ratelimitd(OWN_LISTENER)
    operator = Operator(ratelimitd)
    config = json.loads(ratelimitd.config_path.read_text())

    def in_force(text):
        return text in operator.call("GetConfig")["yaml"]

    ratelimitd.write_config({**config, "defaults": {"breaker": {"consecutive": 77}}})
    assert operator.call("ReloadConfig", validate_only=True) == {}
    assert operator.call("ReloadConfig") == {} and in_force("consecutive: 77")

    ratelimitd.write_config({**config, "log_level": "error"})
    assert operator.call("ReloadConfig", validate_only=True) == {"needs_restart": True}
    assert in_force("log_level: info")

    ratelimitd.write_config({**config, "defaults": {"breaker": {"consequtive": 1}}})
    for validate_only in (True, False):
        said = operator.refusal("ReloadConfig", validate_only=validate_only)
        assert "CONFIG_REFUSED" in said and "consecutive" in said and "FailedPrecondition" in said


def test_an_override_survives_kill_9(programs, tmp_path):
    config = {"store": {"kind": "sqlite", "path": str(tmp_path / "state.db")}, **OWN_LISTENER}
    ratelimitd = programs.ratelimitd(config)
    operator = Operator(ratelimitd)
    operator.force("FORCE_OPEN", "openai", reason="Remember me", allow_missing=True)
    [line] = [line for line in ratelimitd.log_lines() if line["event"] == "override"]
    assert line["provider"] == "openai" and "Remember me" in line["why"] and line["by"] == "operator"
    operator.force("OBSERVE_ONLY", "azure", model="gpt", allow_missing=True)
    operator.force("FORCE_OPEN", "gone", allow_missing=True)
    operator.end("gone")
    ratelimitd.kill()

    again = programs.ratelimitd(config, "ratelimitd-again")

    health = again.provider("openai")["health"]
    assert health["state"] == "HEALTH_STATE_FORCED_OPEN"
    assert health["why"] == "An operator has taken it out: Remember me."
    assert float(health["remaining"].rstrip("s")) <= 3600
    [target] = again.provider("azure")["targets"]
    assert target["health"]["state"] == "HEALTH_STATE_OBSERVE_ONLY"
    listed = again.call("ProviderHealthService/ListProviders")["providers"]
    assert {provider["name"] for provider in listed} == {"openai", "azure"}


@pytest.fixture
def redis(tmp_path):
    server = RedisServer(tmp_path)
    yield server
    server.stop()


def test_replicas_share_an_override(programs, redis):
    store = {"kind": "redis", "url": redis.url, "timeout": "5s"}
    config = {"store": store, **OWN_LISTENER}
    pair = Pair(programs, routes=2, ratelimitd_config=config)
    other = programs.ratelimitd(config, "other")
    gateway = programs.gateway({**pair.config, "ratelimitd": ask(other.address)}, "other-gateway")
    route = pair.duo()
    name = route.first.name
    assert pair.gateway.chat(route.model).status == 200
    # Nobody has asked the other replica about it: it finds it in the store.
    Operator(other).force("FORCE_OPEN", name, reason="Shared")

    for each in (pair.gateway, gateway):
        assert drained(name) in each.chat(route.model).header("x-candor-attempts")
    pair.ratelimitd.kill()
    other.kill()
    again = programs.ratelimitd(config, "again")
    late = programs.gateway({**pair.config, "ratelimitd": ask(again.address)}, "late-gateway")
    assert drained(name) in late.chat(route.model).header("x-candor-attempts")

    redis.kill()
    wait_until(
        lambda: Operator(again).call(
            "Override", provider=name, mode="OVERRIDE_MODE_END", reason="Back"
        ).get("degraded"),
        "it says that only this replica knows",
    )
    assert drained(name) not in late.chat(route.model).header("x-candor-attempts")


def test_permission_by_certificate(programs, tmp_path):
    authority = Authority(tmp_path / "authority")
    cert, key = authority.issue("ratelimitd")
    tls = {"cert_file": cert, "key_file": key, "client_ca_file": authority.ca_path}
    ratelimitd = programs.ratelimitd(
        {
            "tls": {name: str(path) for name, path in tls.items()},
            "admin_service": {"client_names": ["ops", "ops.example"]},
        }
    )

    def call(name, method, request, alternative_names="DNS:somebody.example"):
        cert, key = authority.issue(name, alternative_names)
        options = ["-cacert", authority.ca_path, "-cert", cert, "-key", key]
        return grpcurl(ratelimitd.address, method, request, check=False, options=options)

    by_common_name = call("ops", f"{ADMIN}/Override", GOOD)
    assert by_common_name.returncode == 0, by_common_name.stderr
    assert json.loads(by_common_name.stdout)["provider"]["health"]["reporter"] == "operator ops"
    assert call("x", f"{ADMIN}/GetConfig", {}, "DNS:ops.example").returncode == 0
    requests = {"Override": GOOD, "Reset": {"provider": "openai", "reason": "r"}}
    for method in ("Override", "Reset", "GetConfig", "ReloadConfig"):
        refused = call("gateway", f"{ADMIN}/{method}", requests.get(method, {}))
        assert "Code: PermissionDenied" in refused.stderr and "NOT_PERMITTED" in refused.stderr
    asked = call("gateway", f"{PACKAGE}.ProviderHealthService/GetProvider", {"name": "openai"})
    assert json.loads(asked.stdout)["provider"]["health"]["state"] == "HEALTH_STATE_FORCED_OPEN"
