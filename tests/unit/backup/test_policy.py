"""A schedule means what crontab means, and what is due follows from what was done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from slipway_backup import schedule
from slipway_backup.policy import Policy, firing, previous

# A Wednesday.
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
WEEKLY = Policy(full="0 2 * * 0", differential="0 2 * * 1-6", incremental="0 */6 * * *", drill="")


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 2 * * 0", {"Sun"}),
        ("0 2 * * 7", {"Sun"}),
        ("0 2 * * 1-6", {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}),
        ("0 2 * * 0-2", {"Sun", "Mon", "Tue"}),
        ("0 2 * * 5,6", {"Fri", "Sat"}),
        ("0 2 * * sun", {"Sun"}),
        ("0 2 * * 5-7", {"Fri", "Sat", "Sun"}),
        ("0 2 * * *", {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}),
        ("0 2 * * */1", {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}),
        ("0 2 * * 0-7", {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}),
        ("0 2 * * */2", {"Sun", "Tue", "Thu", "Sat"}),
        ("0 2 * * 1-5/2", {"Mon", "Wed", "Fri"}),
        ("0 2 * * 6,0-2", {"Sat", "Sun", "Mon", "Tue"}),
        ("0 2 * * SUN-WED", {"Sun", "Mon", "Tue", "Wed"}),
    ],
)
def test_days_of_the_week_are_those_of_crontab(line: str, days: set[str]) -> None:
    assert {f"{when:%a}" for when in firing(line, NOW)} == days


@pytest.mark.parametrize(
    "changes",
    [
        {"full": "at noon"},
        {"full": "0 2 * *"},
        {"full": "0 2 * * 8"},
        {"full": "0 2 * * moon"},
        {"full": "0 2 * * 5-1"},
        {"hourly": "0 * * * *"},
        {"keep": {"full": 0}},
    ],
)
def test_what_is_no_policy_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**changes)


def test_the_last_time_is_found_also_where_it_is_weeks_ago() -> None:
    assert previous("0 2 * * 0", NOW) == datetime(2026, 11, 22, 2, tzinfo=UTC)
    assert previous("30 11 * * *", NOW) == datetime(2026, 11, 25, 11, 30, tzinfo=UTC)
    assert previous("0 2 1 * *", NOW) == datetime(2026, 11, 1, 2, tzinfo=UTC)
    assert previous("0 2 29 2 *", NOW) is None


def test_the_longest_gap_is_over_all_kinds() -> None:
    assert WEEKLY.longest_gap(NOW) == timedelta(hours=6)
    nightly = Policy(full="0 2 * * 0", differential="", incremental="0 2 * * 1-6")
    assert nightly.longest_gap(NOW) == timedelta(days=1)
    assert Policy(full="", differential="", incremental="").longest_gap(NOW) is None


def ran(hours: float, kind: str, *, ok: bool = True) -> dict[str, Any]:
    """A line of the history."""
    at = (NOW - timedelta(hours=hours)).isoformat()
    return {"kind": "run", "at": at, "wanted": kind, "ok": ok}


LOST = {"kind": "gap", "at": NOW.isoformat(), "ok": False}


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([], "full"),
        ([ran(24, "full")], "diff"),
        ([ran(8, "diff")], "full"),
        ([ran(24, "full"), ran(8, "diff")], "incr"),
        ([ran(24, "full"), ran(8, "diff"), ran(0, "incr")], None),
        ([ran(0, "full")], None),
        ([ran(24 * 8, "full"), ran(0, "diff")], "full"),
        # A failure is no success, and is not repeated at once.
        ([ran(24, "full"), ran(0.1, "diff", ok=False)], None),
        ([ran(24, "full"), ran(1, "diff", ok=False)], "diff"),
        # What is written after a loss can be restored on top of a later point alone.
        ([ran(0, "full"), LOST], "incr"),
        ([ran(0, "full"), LOST, ran(0, "incr", ok=False)], None),
        ([LOST, ran(0, "full")], None),
    ],
)
def test_what_was_missed_is_due_and_the_fuller_first(
    lines: list[dict[str, Any]], wanted: str | None
) -> None:
    assert schedule.due(WEEKLY, lines, NOW) == wanted


def test_nothing_is_due_where_nothing_is_scheduled() -> None:
    never = Policy(full="", differential="", incremental="", drill="")
    assert schedule.due(never, [ran(0, "full"), LOST], NOW) is None


def test_a_drill_is_due_once_there_is_a_point() -> None:
    policy = Policy(drill="0 5 * * *")
    assert not schedule.drill_due(policy, [], NOW)
    assert schedule.drill_due(policy, [ran(24, "full")], NOW)
    held = {"kind": "drill", "at": NOW.isoformat(), "ok": False}
    assert not schedule.drill_due(policy, [ran(24, "full"), held], NOW)
    assert not schedule.drill_due(WEEKLY, [ran(24, "full")], NOW)
