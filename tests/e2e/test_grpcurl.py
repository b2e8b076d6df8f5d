"""What people do with grpcurl, out of the box."""

import json
import subprocess
import time

import pytest

from support.programs import grpcurl, tool, wait_until

PACKAGE = "candor.ratelimitd.v1"
PAIR = {"gateways": 2, "ratelimitd_config": {"defaults": {"breaker": {"open": "300s"}}}}


def run(pair, *arguments):
    command = [tool("grpcurl"), "-plaintext", pair.ratelimitd.address, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


def test_list(pair):
    services = run(pair, "list").split()

    assert f"{PACKAGE}.AdmissionService" in services
    assert f"{PACKAGE}.ProviderHealthService" in services
    assert "grpc.health.v1.Health" in services


def test_describe(pair):
    assert "service AdmissionService" in run(pair, "describe")
    assert "rpc GetProvider" in run(pair, "describe", f"{PACKAGE}.ProviderHealthService")
    assert "retry_after_ms" in run(pair, "describe", f"{PACKAGE}.AttemptReport")


def test_list_providers_shows_what_was_asked(pair):
    route = pair.solo()
    assert pair.gateway.chat(route.model).status == 200

    listed = pair.ratelimitd.call("ProviderHealthService/ListProviders", {"page_size": 1000})

    provider = next(p for p in listed["providers"] if p["name"] == route.first.name)
    assert provider["health"]["state"] == "HEALTH_STATE_HEALTHY"
    [target] = provider["targets"]
    assert target["model"] == route.first.attempts()[0].model


def test_list_providers_in_pages_and_by_state(pair):
    for _ in range(3):
        pair.gateway.chat(pair.solo().model)
    backing_off = pair.solo()
    backing_off.first.next(status=429, headers={"retry-after": "60"})
    pair.gateway.chat(backing_off.model)

    names, token = [], ""
    while True:
        page = pair.ratelimitd.call(
            "ProviderHealthService/ListProviders", {"page_size": 2, "page_token": token}
        )
        names += [p["name"] for p in page.get("providers", [])]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert names == sorted(set(names)) and len(names) >= 4

    filtered = pair.ratelimitd.call(
        "ProviderHealthService/ListProviders", {"state": "HEALTH_STATE_BACKING_OFF"}
    )
    assert backing_off.first.name in [p["name"] for p in filtered["providers"]]
    assert len(filtered["providers"]) < len(names)


def test_get_provider_explains(pair):
    route = pair.solo()
    route.first.next(status=429, headers={"retry-after": "60"})
    pair.gateway.chat(route.model)

    [target] = pair.ratelimitd.provider(route.first.name)["targets"]

    health = target["health"]
    assert health["state"] == "HEALTH_STATE_BACKING_OFF"
    assert health["why"] and health["reporter"] and health["until"] and health["since"]
    assert 50 <= float(health["remaining"].rstrip("s")) <= 73
    assert health["transitions"][-1]["to_state"] == "HEALTH_STATE_BACKING_OFF"


def test_get_provider_of_an_unknown_name(pair):
    done = grpcurl(
        pair.ratelimitd.address,
        f"{PACKAGE}.ProviderHealthService/GetProvider",
        {"name": "nobody"},
        check=False,
    )
    assert done.returncode != 0
    assert "NotFound" in done.stderr


def health_of(pair, service):
    return grpcurl(pair.ratelimitd.address, "grpc.health.v1.Health/Check", {"service": service})


def test_health(pair):
    route = pair.solo()
    pair.gateway.chat(route.model)

    for service in (
        "",
        f"{PACKAGE}.AdmissionService",
        f"{PACKAGE}.ProviderHealthService",
        f"provider/{route.first.name}",
    ):
        assert health_of(pair, service) == {"status": "SERVING"}


def test_health_of_a_provider_that_is_down(pair):
    route = pair.solo()
    route.first.always(status=500)
    for _ in range(5):
        pair.gateway.chat(route.model)
        time.sleep(0.11)  # failures within 100 ms of one reporter count once

    assert pair.gateway.chat(route.model).kind() == "no_provider_available"
    assert health_of(pair, f"provider/{route.first.name}") == {"status": "NOT_SERVING"}
    assert health_of(pair, "") == {"status": "SERVING"}, "the service itself is well"


def test_health_of_an_unknown_service(pair):
    done = grpcurl(
        pair.ratelimitd.address,
        "grpc.health.v1.Health/Check",
        {"service": "provider/nobody"},
        check=False,
    )
    assert "NotFound" in done.stderr


def test_admit_and_report_by_hand(pair):
    """Another language could be a gateway: what it reports, the gateways obey."""
    route = pair.solo()
    target = {"provider": route.first.name, "model": "upstream-" + route.first.name.split("-")[1]}
    verdict = pair.ratelimitd.call(
        "AdmissionService/Admit",
        {"reporter": "by-hand", "ask": {"correlation_id": 1, "targets": [target]}},
    )["verdict"]
    report = {
        "reporter": "by-hand",
        "report": {
            "sequence_number": 1,
            "token": verdict["grant"]["token"],
            "http_status": 429,
            "kind": "OUTCOME_KIND_RATE_LIMITED",
            "retry_after_ms": 30_000,
        },
    }
    assert (
        pair.ratelimitd.call("AdmissionService/Report", report)["ack"]["status"]
        == "ACK_STATUS_APPLIED"
    )
    again = pair.ratelimitd.call("AdmissionService/Report", report)
    assert again["ack"]["status"] == "ACK_STATUS_DUPLICATE"

    reply = pair.gateways[1].chat(route.model)

    assert reply.kind() == "no_provider_available"
    assert reply.wait_ms() >= 29_000
    assert route.first.attempt_count() == 0


def test_peek_has_no_effect(pair):
    ask = {
        "reporter": "by-hand",
        "ask": {
            "correlation_id": 1,
            "mode": "ADMIT_MODE_PEEK",
            "targets": [{"provider": "ghost", "model": "m"}],
        },
    }
    pair.ratelimitd.call("AdmissionService/Admit", ask)

    assert "ghost" not in json.dumps(
        pair.ratelimitd.call("ProviderHealthService/ListProviders", {"page_size": 1000})
    )


@pytest.mark.parametrize(
    "method, request_",
    [
        ("AdmissionService/Admit", {"reporter": "x", "ask": {}}),
        (
            "AdmissionService/Admit",
            {"reporter": "x", "ask": {"targets": [{"provider": "", "model": "m"}]}},
        ),
        (
            "AdmissionService/Admit",
            {"reporter": "x", "ask": {"targets": [{"provider": "p", "model": "m"}] * 65}},
        ),
        ("AdmissionService/Report", {"reporter": "x", "report": {"sequence_number": 1}}),
        ("ProviderHealthService/ListProviders", {"page_size": -1}),
        ("ProviderHealthService/ListProviders", {"state": 77}),
        ("ProviderHealthService/ListProviders", {"page_token": "not ours"}),
        ("ProviderHealthService/GetProvider", {}),
    ],
)
def test_wrong_requests_are_invalid_arguments(pair, method, request_):
    done = grpcurl(pair.ratelimitd.address, f"{PACKAGE}.{method}", request_, check=False)
    assert "InvalidArgument" in done.stderr, done


def test_watch_gives_a_snapshot_then_changes(pair, tmp_path):
    route = pair.solo()
    pair.gateway.chat(route.model)
    out = tmp_path / "watch"
    with open(out, "wb") as sink:
        watch = subprocess.Popen(
            [
                tool("grpcurl"),
                "-plaintext",
                "-d",
                '{"heartbeat_interval": "1s"}',
                pair.ratelimitd.address,
                f"{PACKAGE}.ProviderHealthService/WatchProviders",
            ],
            stdout=sink,
        )
    try:
        wait_until(lambda: "WATCH_EVENT_KIND_SNAPSHOT" in out.read_text(), "the snapshot comes")
        route.first.next(status=429, headers={"retry-after": "60"})
        pair.gateway.chat(route.model)
        wait_until(lambda: "WATCH_EVENT_KIND_CHANGE" in out.read_text(), "the change comes")
        assert "HEALTH_STATE_BACKING_OFF" in out.read_text()
        wait_until(lambda: "WATCH_EVENT_KIND_HEARTBEAT" in out.read_text(), "a heartbeat comes")
    finally:
        watch.terminate()
        watch.wait(10)
