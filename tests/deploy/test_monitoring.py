"""The files for Prometheus, Alertmanager and Grafana: checked by their own programs, and run against real servers."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs would be one more dependency
from prometheus_client.parser import text_string_to_metric_families

from tests.support.app import application
from tests.support.deliveries import payload
from tests.support.forwarding_destinations import SECRET
from tests.support.load import Load
from tests.support.processes import ROOT
from tests.support.prometheus import FILES, HOW_TO_ENABLE, Monitoring, is_installed
from tests.support.server import Server
from tests.support.waiting import wait_until
from webhook_service.configuration.database_url import parse_url

TESTS = sorted(file.name for file in FILES.glob("*.test.yml"))
RULES = [rule for group in yaml.safe_load((FILES / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]
DASHBOARD = json.loads((FILES / "grafana-dashboard.json").read_text())
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()

OF_PROMETHEUS_ITSELF = {"up"}
_METRIC = re.compile(r"([a-z][a-z_]*)\{")
_SUFFIX = re.compile(r"_(total|bucket|sum|count|created)$")

needs_prometheus = pytest.mark.skipif(not is_installed(), reason=HOW_TO_ENABLE)


def families(names: list[str]) -> set[str]:
    """The names of metrics without what their series add to them."""
    return {_SUFFIX.sub("", name) for name in names} - OF_PROMETHEUS_ITSELF


def in_queries(queries: list[str]) -> set[str]:
    """The metrics that queries name; each of them selects by a label."""
    return families([name for query in queries for name in _METRIC.findall(query)])


@pytest.fixture(scope="module")
def in_code(request: pytest.FixtureRequest) -> set[str]:
    """All metrics that the service can have: on SQLite, which knows its disk, and with a replica."""
    found: set[str] = set()
    for database in ("shared_sqlite_url", "shared_postgresql_url"):
        url = request.getfixturevalue(database)
        replica = None if "sqlite" in url else parse_url(url)
        with application(url, read_database_url=replica) as client:
            shown = client.get("/metrics").text
        found |= families([family.name for family in text_string_to_metric_families(shown)])
    return found


@needs_prometheus
@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "config", "prometheus.yml"),
        ("promtool", "test", "rules", *TESTS),
        ("amtool", "check-config", "alertmanager.yml"),
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_the_programs_take_their_files(command: tuple[str, ...]) -> None:
    ran = subprocess.run(command, cwd=FILES, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    tests = [test for name in TESTS for test in yaml.safe_load((FILES / name).read_text())["tests"]]

    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}

    assert fired == set(ALERTS)


def test_every_alert_links_to_its_section_of_the_runbook() -> None:
    links = {rule["alert"]: rule["annotations"]["runbook"] for rule in RULES if "alert" in rule}

    assert links == {alert: f"docs/runbook.md#{alert.lower()}" for alert in ALERTS}
    assert re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE) == ALERTS


def test_every_section_of_the_runbook_says_what_to_look_at_and_what_to_do() -> None:
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]

    assert [section.partition("\n")[0] for section in sections if "**Look**" not in section] == []
    assert [section.partition("\n")[0] for section in sections if not re.search(r"\*\*(D|d)o\*\*", section)] == []


def test_every_metric_is_alerted_on_or_shown_and_none_is_made_up(in_code: set[str]) -> None:
    assert in_queries([rule["expr"] for rule in RULES]) <= in_code
    assert in_queries([rule["expr"] for rule in RULES] + QUERIES) == in_code


def test_every_metric_is_documented_and_none_is_made_up(in_code: set[str]) -> None:
    section = (ROOT / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)

    assert families([name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)]) == in_code


def is_number(series: dict[str, Any]) -> bool:
    """Tells whether a series has a value other than NaN, which a quantile of nothing is."""
    return not math.isnan(float(series["value"][1]))


@needs_prometheus
def test_every_query_of_the_dashboard_has_data_and_a_conflict_is_told(
    shared_sqlite_url: str, shared_postgresql_url: str, tmp_path: Path
) -> None:
    """Two nodes: one that knows its disk, and one with a replica, which here is the database itself."""
    queries = [query.replace("$node", ".*").replace("$__rate_interval", "20s") for query in QUERIES]
    config = tmp_path / "webhook-service.toml"
    config.write_text('[destinations.shop]\nurl = "https://shop.example/hook"\nsecrets = [{env = "SHOP_SECRET"}]\n')
    with (
        Server(shared_sqlite_url, CONFIG_FILE=str(config), SHOP_SECRET=SECRET) as one,
        Server(shared_postgresql_url, READ_DATABASE_URL=shared_postgresql_url) as other,
        Monitoring(one, other) as monitoring,
        Load(one, other) as load,
    ):
        wait_until(lambda: len(monitoring.query('up{job="webhook_service"} == 1')) == 2, "both nodes to be scraped")
        one.request("PUT", "/consumers/crm", b"{}")
        one.deliver(payload(message_id="taken", text="first"))
        one.deliver(payload(message_id="taken", text="second"))
        one.post("/webhook", b"{}", {"X-Signature": "0" * 64})

        def without_data() -> list[str]:
            other.get("/stats")
            return [query for query in queries if not any(map(is_number, monitoring.query(query)))]

        wait_until(lambda: not without_data(), "data for every query")
        wait_until(
            lambda: "Conflicts" in {alert["labels"]["alertname"] for alert in monitoring.alerts()},
            "Alertmanager to be told",
        )
        unhealthy = {rule["name"]: rule["lastError"] for rule in monitoring.rules() if rule["health"] != "ok"}

    assert unhealthy == {}
    assert load.statuses() == {200}
