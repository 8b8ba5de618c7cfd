"""A report says the same in JSON and in Markdown, and never calls an unmeasured figure good."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from slipway.report import Result, write


@pytest.mark.parametrize(
    ("value", "goal", "ok"),
    [
        (0, "== 0", True),
        (1, "== 0", False),
        (1.25, "<= 1.25", True),
        (1.3, "<= 1.25", False),
        (0.9, ">= 0.95", False),
        (1, "< 1", False),
        (2, "> 1", True),
        (None, "== 0", None),
        (3, "", None),
    ],
)
def test_a_goal_is_met_or_missed_and_nothing_else(
    value: float | None, goal: str, ok: bool | None
) -> None:
    assert Result("requests lost", value, "requests", goal).ok is ok


def test_both_files_carry_every_figure(tmp_path: Path) -> None:
    results = [
        Result("requests lost", 0, "requests", "== 0", note="of 4000"),
        Result("p99 in the roll", None, "ms", "<= 2", "p99 at rest", "no load could be sent"),
    ]
    path = write(
        tmp_path / "reports",
        "release",
        results,
        commit="abc",
        release="1",
        engine="26.1",
        now=datetime(2026, 1, 2, tzinfo=UTC),
    )
    report = json.loads(path.read_text())
    assert report["topic"] == "release"
    assert report["time"] == "2026-01-02T00:00:00+00:00"
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["engine"] == "26.1"
    assert [each["ok"] for each in report["results"]] == [True, None]
    page = (tmp_path / "reports" / "release.md").read_text()
    assert "| requests lost | 0 requests | == 0 | yes |  | of 4000 |" in page
    assert "| p99 in the roll | not measured | <= 2 |  | p99 at rest |" in page
