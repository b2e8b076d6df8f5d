"""What deploy/monitoring asks of Prometheus, asked of a real one that watches the running pair."""

import re

import pytest

from support.programs import wait_until
from support.prometheus import (
    MONITORING,
    Prometheus,
    all_rules,
    dashboard_queries,
    hurried,
    metric_names,
    read_rules,
)
from support.stack import Pair

PAIR = {"gateways": 2, "routes": 8}
BREAKER = {"consecutive": 2, "lump": "1ms", "open": "1s", "open_max": "2s", "ramp": "0s"}


@pytest.fixture(scope="module")
def busy(pair):
    """Every kind of thing to count has happened once."""
    good, limited, broken, odd = pair.duo(), pair.duo(), pair.solo(), pair.solo()
    limited.first.next(status=429, headers={"retry-after": "20"})
    broken.first.next(cut_after_events=3)
    odd.first.next(status=500, body={"error": {"message": "?", "code": "model_is_tired"}})
    for gateway in pair.gateways:
        gateway.chat(good.model, stream=True)
        gateway.chat(limited.model)
        gateway.chat(broken.model, stream=True)
        gateway.chat(odd.model)
    return pair


def services(pair):
    return [*pair.gateways, pair.ratelimitd]


def admin_addresses(pair):
    return [service.addresses["admin"] for service in services(pair)]


def exported(pair):
    """{name: (type, label names, help)} of what both programs export."""
    found = {}
    for service in services(pair):
        page = service.admin("/metrics").text()
        helps = dict(re.findall(r"^# HELP (\S+) (.*)$", page, re.M))
        for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page, re.M):
            suffix = r"(?:_bucket|_sum|_count)" if kind == "histogram" else ""
            series = re.findall(rf"^{name}{suffix}(?:{{(.*)}})? \S+$", page, re.M)
            labels = {label for text in series for label in re.findall(r"(\w+)=\"", text)}
            found[name] = (kind, labels - {"le"}, helps[name])
    return found


def documented():
    """The same of the table in the README."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", (MONITORING / "README.md").read_text(), re.M
    )
    assert len(rows) == len({row[0] for row in rows}), "a metric is there twice"
    return {name: (kind, set(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in rows}


def test_the_table_of_metrics_is_what_the_programs_export(busy):
    assert documented() == exported(busy)


def test_rules_and_dashboard_look_at_what_is_exported(busy):
    known = set()
    for name, (kind, _, _) in exported(busy).items():
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        known |= {name + part for part in parts}
    expressions = [rule["expr"] for rule in all_rules(read_rules())]
    expressions += dashboard_queries().values()
    used = {name for expression in expressions for name in metric_names(expression)}
    assert used and used <= known


def test_every_query_of_the_dashboard_returns_data(busy, tmp_path):
    """Counters move while Prometheus looks, so that rates and quantiles are numbers."""
    with Prometheus(tmp_path, admin_addresses(busy), hurried(read_rules())) as prometheus:
        saved, odd = busy.duo(), busy.solo()
        saved.first.always(status=404, body={"error": {"message": "?", "code": "model_not_found"}})
        odd.first.always(status=400, body={"error": {"message": "?", "code": "model_is_tired"}})

        def has_data(expression):
            assert busy.gateway.chat(saved.model).status == 200
            busy.gateway.chat(odd.model)
            return [value for _, value in prometheus.series(expression) if value == value]

        for title, expression in dashboard_queries().items():
            wait_until(lambda: has_data(expression), f"there is data for {title}")


def test_an_alert_fires_and_resolves(programs, tmp_path):
    config = {"defaults": {"breaker": BREAKER}}
    pair = Pair(programs, routes=1, ratelimitd_config=config)
    route = pair.duo()
    with Prometheus(tmp_path, admin_addresses(pair), hurried(read_rules())) as prometheus:
        route.first.always(status=500)

        def answer_and_look(is_firing):
            assert pair.gateway.chat(route.model).status == 200, "the second provider steps in"
            firing = {labels["provider"] for labels in prometheus.firing("CandorProviderOpen")}
            return (route.first.name in firing) == is_firing

        wait_until(lambda: prometheus.query("up") == dict.fromkeys(admin_addresses(pair), 1.0), "up")
        assert not prometheus.firing("CandorProviderOpen")
        wait_until(lambda: answer_and_look(True), "the alert fires")
        (firing,) = prometheus.firing("CandorProviderOpen")
        assert firing["provider"] == route.first.name and firing["severity"] == "warning"

        pair.fake.clear()
        wait_until(lambda: answer_and_look(False), "the alert is resolved")
        assert not prometheus.firing("CandorProviderBlocked")


def test_a_lost_ratelimitd_is_noticed(programs, tmp_path):
    pair = Pair(programs, routes=1)
    route = pair.solo()
    with Prometheus(tmp_path, admin_addresses(pair), hurried(read_rules())) as prometheus:

        def serve_and_look(alert):
            assert pair.gateway.chat(route.model).status == 200
            return prometheus.firing(alert)

        wait_until(
            lambda: not serve_and_look("CandorRatelimitdUnreachable")
            and prometheus.query("candor_gateway_ratelimitd_sessions > 0"),
            "there is a session",
        )
        pair.ratelimitd.kill()

        for alert in ("CandorRatelimitdUnreachable", "CandorDegraded", "CandorRatelimitdAbsent"):
            wait_until(lambda: serve_and_look(alert), f"{alert} fires")
