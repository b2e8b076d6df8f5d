"""The rules are sound and tested, and agree with what they are made from and what refers to them.
tests/e2e/test_monitoring.py runs them."""

import json
import re
import subprocess

import yaml

from support.manifests import DEPLOY
from support.programs import REPOSITORY, tool
from support.prometheus import (
    DASHBOARD,
    MONITORING,
    all_rules,
    dashboard_queries,
    metric_names,
    read_rules,
    record_names,
)


def promtool(*arguments):
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def alerts():
    return [rule for rule in all_rules(read_rules()) if "alert" in rule]


def records():
    return {rule["record"] for rule in all_rules(read_rules()) if "record" in rule}


def test_promtool_accepts_the_rules():
    promtool("check", "rules", "rules.yaml")


def test_the_rules_do_what_their_tests_say():
    promtool("test", "rules", "rules_test.yaml")


def test_every_alert_is_tested_to_fire_and_to_be_silent():
    tests = yaml.safe_load((MONITORING / "rules_test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    is_silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = {alert["alert"] for alert in alerts()}
    assert fires == names
    assert is_silent == names


def test_the_operators_rules_are_the_same():
    operator = yaml.safe_load((MONITORING / "prometheus-rule.yaml").read_text())
    assert operator["spec"] == read_rules(), "its first lines say how it is written"


def test_every_alert_says_what_to_do():
    headings = re.findall(r"^#+ (.*)$", (DEPLOY / "README.md").read_text(), re.M)
    anchors = {re.sub(r"[^a-z0-9 _-]", "", h.lower()).replace(" ", "-") for h in headings}
    for alert in alerts():
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert alert["annotations"]["summary"]
        page, anchor = alert["annotations"]["runbook"].split("#")
        assert page == "deploy/README.md"
        assert anchor in anchors, f"{alert['alert']} refers to #{anchor}"


def test_kinds_are_attributed_as_in_the_table_of_failures():
    """The table is the README's, which a unit test holds equal to the code."""
    rows = re.findall(
        r"^\| (\w+) \| (provider|operator|caller|gateway) \|",
        (REPOSITORY / "README.md").read_text(),
        re.M,
    )
    want = {fault: {k for k, f in rows if f == fault} for _, fault in rows}
    assert sum(map(len, want.values())) > 25

    failures = {
        rule["labels"]["fault"]: set(re.search(r'result=~"([^"]*)"', rule["expr"]).group(1).split("|"))
        for rule in all_rules(read_rules())
        if rule.get("record") == "result:candor_gateway_failures:rate5m"
    }
    assert failures == want

    (attempts,) = [
        rule["expr"]
        for rule in all_rules(read_rules())
        if rule.get("record") == "provider_result:candor_gateway_failed_attempts:rate5m"
    ]
    of_attempts = set(re.search(r'result=~"([^"]*)"', attempts).group(1).split("|"))
    assert of_attempts == (want["provider"] | want["operator"]) - {"no_provider_available"}


def test_records_are_used_and_exist():
    used = {
        name
        for expression in [*dashboard_queries().values(), *(r["expr"] for r in all_rules(read_rules()))]
        for name in record_names(expression)
    }
    assert used <= records()


def test_the_dashboard_can_be_imported_anywhere():
    dashboard = json.loads(DASHBOARD.read_text())
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    assert "id" not in dashboard, "Grafana gives it one"
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            assert panel["targets"], panel["title"]


def test_panels_do_not_overlap():
    taken = {}
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken.get((x, y))}"
                taken[x, y] = panel["title"]


def test_the_dashboard_shows_states_by_the_codes_of_the_rule():
    (rule,) = [
        rule["expr"]
        for rule in all_rules(read_rules())
        if rule.get("record") == "provider:candor_ratelimitd_provider_state:code"
    ]
    codes = re.findall(r'(?:(\d) \* )?candor_ratelimitd_provider_state\{state="(\w+)"\}', rule)
    want = {code or "1": state.replace("_", " ") for code, state in codes}
    (timeline,) = [
        panel
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        if panel["type"] == "state-timeline"
    ]
    (mapping,) = timeline["fieldConfig"]["defaults"]["mappings"]
    assert {code: entry["text"] for code, entry in mapping["options"].items()} == want


def test_names_of_metrics_are_found_in_expressions():
    """The reader that other tests rely on."""
    cases = [
        ("sum by (a) (rate(candor_gateway_requests_total{a=~\"b\"}[5m]))", {"candor_gateway_requests_total"}),
        ("result:candor_gateway_requests:rate5m", set()),
        (
            'increase({__name__=~"candor_(gateway|ratelimitd)_config_reloads_total"}[1h])',
            {"candor_gateway_config_reloads_total", "candor_ratelimitd_config_reloads_total"},
        ),
    ]
    for expression, want in cases:
        assert metric_names(expression) == want, expression
