"""A real Prometheus scrapes both programs, and promtool finds nothing to complain about."""

import subprocess

import pytest

from support.programs import tool, wait_until
from support.prometheus import Prometheus
from support.stack import Pair

PAIR = {"gateways": 2, "routes": 6}


@pytest.fixture(scope="module")
def busy(pair):
    """Every kind of thing to count has happened once."""
    good, limited, broken = pair.duo(), pair.duo(), pair.solo()
    limited.first.next(status=429, headers={"retry-after": "20"})
    broken.first.next(cut_after_events=3)
    for gateway in pair.gateways:
        gateway.chat(good.model)
        gateway.chat(good.model, stream=True)
        gateway.chat(limited.model)
        gateway.chat(broken.model, stream=True)
        gateway.chat("no-such-model")
        gateway.post("/v1/embeddings", b"{")
    return pair


def services(pair):
    return [*pair.gateways, pair.ratelimitd]


def test_promtool_check_metrics_is_clean(busy):
    for service in services(busy):
        page = service.admin("/metrics")
        assert page.header("content-type").startswith("text/plain; version=0.0.4")
        done = subprocess.run(
            [tool("promtool"), "check", "metrics"], input=page.body, timeout=60, capture_output=True
        )
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        assert not done.stderr and not done.stdout, done


def test_prometheus_scrapes_both_programs(busy, tmp_path):
    targets = [service.addresses["admin"] for service in services(busy)]
    with Prometheus(tmp_path, targets) as prometheus:
        wait_until(lambda: prometheus.query("up") == dict.fromkeys(targets, 1.0), "all are up")
        wait_until(
            lambda: len(
                prometheus.query(
                    'sum by (instance) ({__name__=~"candor_.*", __name__!~".*bucket"})'
                )
            )
            == len(targets),
            "each gives series of its own",
        )


def test_series_exist_before_anything_has_happened(programs):
    fresh = Pair(programs, routes=1)
    for service in (fresh.gateway, fresh.ratelimitd):
        metrics = service.metrics()
        assert metrics and all(name.startswith(("candor_", "process_")) for name in metrics)
    attempts = [
        name
        for name in fresh.gateway.metrics()
        if name.startswith("candor_gateway_attempts_total") and '"first-0"' in name
    ]
    assert any('"rate_limited"' in name for name in attempts)


def test_counters_count(pair):
    def count(words):
        return sum(
            value
            for name, value in pair.gateway.metrics().items()
            if name.startswith("candor_gateway_") and all(word in name for word in words)
        )

    route = pair.duo()
    route.first.next(status=429, headers={"retry-after": "20"})
    limited = ["attempts_total", f'provider="{route.first.name}"', 'result="rate_limited"']
    answered = ["attempts_total", f'provider="{route.second.name}"', 'result="ok"']
    before = count(limited), count(answered)
    pair.gateway.chat(route.model)

    assert (count(limited), count(answered)) == (before[0] + 1, before[1] + 1)


def test_codes_that_no_table_knows_are_counted_by_name(pair):
    route = pair.solo()
    for code in ("brand_new_code", "rate_limit_exceeded"):
        route.first.next(status=500, body={"error": {"message": "?", "type": None, "code": code}})
        pair.gateway.chat(route.model)

    metrics = pair.gateway.metrics()
    assert metrics['candor_gateway_unknown_codes_total{code="brand_new_code"}'] == 1
    assert not any("unknown_codes" in name and "rate_limit" in name for name in metrics)


def test_label_sets_are_bounded_under_invented_names(pair):
    pair.gateway.chat("no-such-model")
    before = len(pair.gateway.metrics())
    for number in range(50):
        pair.gateway.chat(f"invented-{number}")
        pair.gateway.post(f"/v1/invented-{number}", {})

    assert len(pair.gateway.metrics()) == before


def test_access_log_has_the_request_id(pair):
    route = pair.solo()
    request_id = pair.gateway.chat(route.model).header("x-request-id")

    line = wait_until(
        lambda: next(
            (line for line in pair.gateway.log_lines() if line.get("request_id") == request_id),
            None,
        ),
        "it is logged",
    )
    assert line["status"] == 200
    assert line["provider"] == route.first.name


@pytest.mark.parametrize("path, status", [("/healthz", 200), ("/readyz", 200), ("/nowhere", 404)])
def test_admin_pages(pair, path, status):
    for service in services(pair):
        assert service.admin(path).status == status
