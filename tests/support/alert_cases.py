"""The cases of alerts in tests/unit/monitoring/cases, as `promtool test rules` takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CASES = Path(__file__).parents[1] / "unit" / "monitoring" / "cases"
#: Of an alert that always fires.
NEVER = "never"


@dataclass(frozen=True)
class Case:
    """One alert of a topic: series with which it fires, and others that each leave it quiet.

    Firing, it says `summary`; `labels` are those that it takes over from its series.
    """

    alert: str
    topic: str
    fires: Mapping[str, str]
    quiet: tuple[Mapping[str, str], ...]
    summary: str
    labels: Mapping[str, str]
    at: str
    interval: str


def read() -> tuple[Case, ...]:
    """Every case of every file."""
    return tuple(case for path in sorted(CASES.glob("*.yaml")) for case in _of(path))


def _of(path: Path) -> Iterator[Case]:
    # Words alone: YAML would take 0x40 for a number in hexadecimal.
    for alert, told in yaml.load(path.read_text(), Loader=yaml.BaseLoader).items():  # noqa: S506
        for each in told if isinstance(told, list) else [told]:
            yield _case(alert, path.stem, each)


def _case(alert: str, topic: str, told: Mapping[str, Any]) -> Case:
    quiet = [] if told["quiet"] == NEVER else told["quiet"]
    return Case(
        alert=alert,
        topic=topic,
        fires=told["fires"],
        quiet=tuple(quiet) if isinstance(quiet, list) else (quiet,),
        summary=told.get("summary", ""),
        labels=told.get("labels") or {},
        at=told.get("at", "30m"),
        interval=told.get("interval", "1m"),
    )


def alerts(files: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """The alerting rules in files of rules, by name."""
    groups = (group for text in files.values() for group in yaml.safe_load(text)["groups"])
    rules = (rule for group in groups for rule in group["rules"])
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def documents(files: Mapping[str, str], folder: str) -> dict[str, str]:
    """Files of tests for promtool, by name, of rules that lie in `folder`.

    Every rule that a file names is evaluated at every moment of each of its tests, so there is one
    for each topic and interval.
    """
    known = alerts(files)
    sorted_cases: dict[tuple[str, str], list[Case]] = {}
    for case in read():
        sorted_cases.setdefault((case.topic, case.interval), []).append(case)
    made = {}
    for (topic, interval), cases in sorted_cases.items():
        names = {"golden.yaml", f"{topic}.yaml"} if topic == "rag" else {f"{topic}.yaml"}
        content = {
            "rule_files": [f"{folder}/{name}" for name in sorted(names)],
            "evaluation_interval": interval,
            "tests": [test for case in cases for test in _tests(case, known[case.alert])],
        }
        made[f"{topic}-{interval}.yaml"] = yaml.safe_dump(content, sort_keys=False, width=1000)
    return made


def _tests(case: Case, rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    firing = {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {"summary": case.summary, "runbook": rule["annotations"]["runbook"]},
    }
    yield _test(case, "fires", case.fires, [firing])
    for each in case.quiet:
        yield _test(case, "stays quiet", each, [])


def _test(
    case: Case, what: str, series: Mapping[str, str], expected: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": f"{case.alert} {what}",
        "interval": case.interval,
        "input_series": [{"series": name, "values": each} for name, each in series.items()],
        "alert_rule_test": [
            {"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}
        ],
    }
