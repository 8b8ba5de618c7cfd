"""What everybody may know: how it is, how ninety days were, and what was wrong when."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway_monitoring.console import public, record
from slipway_monitoring.console.keeper import Keeper
from slipway_monitoring.console.record import DAYS, DEGRADED, DOWN, Day, Incident, Record
from slipway_monitoring.console.sources import Sources
from slipway_monitoring.errors import MonitoringError

# 2026-11-30 09:00 UTC.
NOW = 1_796_029_200.0
HOUR = 3600.0


def test_an_incident_begins_with_the_first_page_and_ends_with_the_last() -> None:
    found = Record().seen([NOW - 60, NOW - 90], answered=True, now=NOW)
    assert found.incidents == (Incident(NOW - 90, None, DEGRADED),)
    worse = found.seen([NOW - 60], answered=False, now=NOW + 30)
    assert worse.open == Incident(NOW - 90, None, DOWN)
    # That it was worse once is not forgotten while it gets better.
    better = worse.seen([NOW - 60], answered=True, now=NOW + 60)
    assert better.open == worse.open
    over = better.seen([], answered=True, now=NOW + 90)
    assert over.incidents == (Incident(NOW - 90, NOW + 90, DOWN),)
    assert over.open is None
    again = over.seen([NOW + 200], answered=None, now=NOW + 230)
    assert [each.began for each in again.incidents] == [NOW + 200, NOW - 90]


def test_what_is_older_than_ninety_days_is_forgotten() -> None:
    old = Record(
        {"2026-08-01": Day(10, 10), "2026-11-29": Day(10, 9)},
        (Incident(NOW - 91 * 24 * HOUR, NOW - 91 * 24 * HOUR + 60, DOWN),),
    )
    now = old.with_days({"2026-11-30": Day(5, 5)}, NOW).seen([], answered=True, now=NOW)
    assert list(now.days) == ["2026-11-29", "2026-11-30"]
    assert now.incidents == ()


def test_a_day_that_nobody_measured_is_not_a_good_one() -> None:
    kept = Record({"2026-11-29": Day(5760, 5750)}).with_days({"2026-11-30": Day(0, 0)}, NOW)
    told = public.summary("up", kept, NOW)
    assert len(told["days"]) == DAYS
    assert told["days"][-2:] == [
        {"date": "2026-11-29", "answered": 0.99826},
        {"date": "2026-11-30", "answered": None},
    ]
    page = public.page("slipway.internal", told)
    assert page.count('class="unknown"') == DAYS - 1
    assert "2026-11-29: 99.83 % answered" in page
    assert "99.826 % of our own questions were answered" in page


@pytest.mark.parametrize(
    ("serving", "wrong", "state", "said"),
    [
        ("up", False, "up", "Everything works"),
        ("up", True, "degraded", "Some of it does not work as it should"),
        ("down", True, "down", "Users are not answered"),
        ("unknown", False, "unknown", "Whether users are answered is not known"),
    ],
)
def test_the_page_says_how_it_is_now(serving: str, wrong: bool, state: str, said: str) -> None:
    found = Record(incidents=(Incident(NOW - 600, None, DEGRADED),) if wrong else ())
    told = public.summary(serving, found, NOW)
    assert told["state"] == state
    page = public.page("a<b>.internal", told)
    assert f'<p class="now {state}" role="status">{said}</p>' in page
    assert "<b>" not in page
    assert ("and not over yet (10 min)" in page) is wrong


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "console" / "status.json"
    assert record.read(path) == Record()
    made = Record({"2026-11-30": Day(4, 3)}, (Incident(NOW, None, DOWN),))
    record.write(path, made)
    assert record.read(path) == made
    path.write_text("{")
    with pytest.raises(MonitoringError, match="move it away to begin anew"):
        record.read(path)


def test_the_last_days_end_at_midnight_and_today_with_now() -> None:
    ends = record.midnights(NOW, 3)
    assert list(ends) == ["2026-11-30", "2026-11-29", "2026-11-28"]
    assert ends["2026-11-30"] == NOW
    assert ends["2026-11-29"] == record.beginning("2026-11-30") == NOW - 9 * HOUR


def keeper(path: Path, answer: Callable[[httpx.Request], httpx.Response]) -> Keeper:
    http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    return Keeper(Sources(http, "http://prometheus:9090", "http://alertmanager:9093"), path)


async def test_a_round_counts_days_and_opens_and_closes_incidents(tmp_path: Path) -> None:
    pages: list[dict[str, Any]] = []
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/api/v2/alerts":
            return httpx.Response(200, json=pages)
        query = request.url.params["query"]
        asked.append(query)
        told = [{"metric": {}, "value": [NOW, "0"]}]
        if "questions" in query:
            told = [
                {"metric": {"outcome": "answered"}, "value": [NOW, "90"]},
                {"metric": {"outcome": "timeout"}, "value": [NOW, "10"]},
            ]
        return httpx.Response(200, json={"status": "success", "data": {"result": told}})

    kept = keeper(tmp_path / "status.json", answer)
    await kept.round(NOW)
    assert len(kept.record.days) == 7
    assert kept.record.days["2026-11-30"] == Day(100, 90)
    assert f"[{9 * 3600}s]" in asked[0]
    # The days before are looked at again after an hour.
    asked.clear()
    await kept.round(NOW + 30)
    assert sum("questions" in each for each in asked) == 1
    common = {"startsAt": "2026-11-30T08:59:00.000Z", "annotations": {}}
    silenced = {"silencedBy": ["a"], "inhibitedBy": []}
    firing = {"silencedBy": [], "inhibitedBy": []}
    pages.append(common | {"labels": {"severity": "page"}, "status": silenced})
    pages.append(common | {"labels": {"severity": "ticket"}, "status": firing})
    await kept.round(NOW + 60)
    assert kept.record.incidents == ()
    pages.append(common | {"labels": {"severity": "page"}, "status": firing})
    await kept.round(NOW + 90)
    assert kept.record.open == Incident(NOW - 60, None, DOWN)
    written = json.loads((tmp_path / "status.json").read_text())
    assert written["incidents"][0]["what"] == DOWN
    pages.clear()
    await kept.round(NOW + 120)
    assert kept.record.incidents == (Incident(NOW - 60, NOW + 120, DOWN),)


async def test_nothing_is_remembered_of_a_time_in_which_nobody_answered(tmp_path: Path) -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    kept = keeper(tmp_path / "status.json", answer)
    kept.record = Record({}, (Incident(NOW - 600, None, DOWN),))
    await kept.round(NOW)
    # Not over, only because nobody can say so.
    assert kept.record.open is not None
    assert not (tmp_path / "status.json").exists()
