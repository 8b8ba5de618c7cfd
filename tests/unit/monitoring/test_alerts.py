"""Every alert has what whoever is woken by it needs, and cases that promtool tries."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import alert_cases
import pytest
import yaml

from slipway_monitoring import alertmanager, prometheus

ROOT = Path(__file__).parents[3]
FILES = prometheus.rule_files("full", backups=True)
ALERTS = alert_cases.alerts(FILES)
CASES = alert_cases.read()
TOPICS = {
    *("watch", "edge", "containers", "app", "rag", "database", "backup", "host"),
    *("objectives", "logs"),
}
#: Alerts of which there is no figure: they are there or not, or say when.
PLAIN = {"page", "ticket"}


def test_there_are_enough_of_them() -> None:
    assert len(ALERTS) >= 60
    assert sum(rule["labels"]["severity"] == "page" for rule in ALERTS.values()) < len(ALERTS) / 2


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_is_whole(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in PLAIN or name == alertmanager.DEAD_MAN
    assert rule["labels"]["topic"] in TOPICS
    assert len(rule["annotations"]["summary"]) > 15
    runbook = ROOT / rule["annotations"]["runbook"]
    assert runbook.read_text().startswith(f"# {name}\n")
    assert {"## Look", "## Do"} <= set(runbook.read_text().splitlines())


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_is_tried_firing_and_quiet(name: str) -> None:
    cases = [case for case in CASES if case.alert == name]
    assert cases
    for case in cases:
        assert case.fires and case.summary
        assert case.quiet or name == alertmanager.DEAD_MAN
        assert case.topic == ALERTS[name]["labels"]["topic"]


def test_no_case_and_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert {case.alert for case in CASES} == set(ALERTS)
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("[A-Z]*.md")} - {"README"}
    assert pages == set(ALERTS)


def test_promtool_is_given_every_case() -> None:
    documents = alert_cases.documents(FILES, "/rules")
    tests = [test for text in documents.values() for test in yaml.safe_load(text)["tests"]]
    assert len(tests) == sum(1 + len(case.quiet) for case in CASES)
    assert {test["alert_rule_test"][0]["alertname"] for test in tests} == set(ALERTS)


@pytest.mark.parametrize("level", ["minimal", "standard", "full"])
def test_no_level_drops_what_an_alert_is_made_of(level: Any) -> None:
    dropped = re.compile(prometheus.EXTENTS[level].dropped)
    kept = re.compile(prometheus.KEPT)
    words = {
        word for rule in ALERTS.values() for word in re.findall(r"[a-z_][\w:]{5,}", rule["expr"])
    }
    lost = {word for word in words if dropped.fullmatch(word) and not kept.fullmatch(word)}
    assert lost == set()


def test_without_backups_nobody_is_told_of_them() -> None:
    known = alert_cases.alerts(prometheus.rule_files("full", backups=False))
    assert {rule["labels"]["topic"] for rule in known.values()} == TOPICS - {"backup"}
