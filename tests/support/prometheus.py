"""The real Prometheus, scraping the programs of a test; and what the rules and the dashboard ask
of it."""

import json
import re
import subprocess
import urllib.parse

import yaml

from support import http_client
from support.programs import REPOSITORY, free_port, tool

MONITORING = REPOSITORY / "deploy" / "monitoring"
RULES = MONITORING / "rules.yaml"
DASHBOARD = MONITORING / "dashboard.json"


class Prometheus:
    """Scrapes every half second until the `with` ends. `rules`: the content of a rule file."""

    def __init__(self, directory, targets, rules=None):
        self._address = f"127.0.0.1:{free_port()}"
        config = {
            "global": {
                "scrape_interval": "500ms",
                "scrape_timeout": "500ms",
                "evaluation_interval": "1s",
            },
            "rule_files": [],
            "scrape_configs": [{"job_name": "candor", "static_configs": [{"targets": targets}]}],
        }
        if rules:
            (directory / "rules.json").write_text(json.dumps(rules))
            config["rule_files"] = ["rules.json"]
        (directory / "prometheus.yml").write_text(json.dumps(config))
        self._log = open(directory / "prometheus.log", "wb")
        self._process = subprocess.Popen(
            [
                tool("prometheus"),
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address={self._address}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def series(self, expression):
        """[(labels, value)] of an instant query; empty while Prometheus is not up."""
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            reply = http_client.get(self._address, path).json()
        except (OSError, ValueError):
            return []
        assert reply["status"] == "success", f"{expression}: {reply}"
        return [(s["metric"], float(s["value"][1])) for s in reply["data"]["result"]]

    def query(self, expression):
        """{instance: value} of an instant query; empty while Prometheus is not up."""
        return {labels.get("instance"): value for labels, value in self.series(expression)}

    def firing(self, alert):
        """The labels of the alerts of this name that fire now."""
        found = self.series(f'ALERTS{{alertname="{alert}", alertstate="firing"}}')
        return [labels for labels, _ in found]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def all_rules(rules):
    return [rule for group in rules["groups"] for rule in group["rules"]]


def read_rules():
    return yaml.safe_load(RULES.read_text())


def hurried(rules):
    """The same rules for a test: evaluated every second, alerts fire at once, and what looks back
    five minutes or more looks back five seconds."""
    for group in rules["groups"]:
        group["interval"] = "1s"
    for rule in all_rules(rules):
        rule.pop("for", None)
        rule["expr"] = re.sub(r"\[\d+[mh]\]", "[5s]", rule["expr"])
    return rules


def dashboard_queries():
    """{title of panel, legend: expression}, with Grafana's variables filled in."""
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        .replace("$__rate_interval", "5s")
        .replace("$provider", ".*")
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
    }


def metric_names(expression):
    """The names of our metrics that an expression looks at; those of records are left out."""
    names = set(re.findall(r"(?<![\w:])candor_[a-z_]+(?![\w:])", expression))
    for pattern in re.findall(r'__name__=~"([^"]*)"', expression):
        alternatives = re.search(r"\(([^)]*)\)", pattern)
        for word in alternatives.group(1).split("|"):
            names.add(pattern.replace(alternatives.group(0), word))
    return names


def record_names(expression):
    return set(re.findall(r"[a-z_]+(?::[a-z0-9_]+){2}", expression))
