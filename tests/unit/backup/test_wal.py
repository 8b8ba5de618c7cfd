"""A gap of the log is found wherever it is, and for how long nothing was received."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from slipway_backup import lock, process, wal
from slipway_backup.settings import Settings

FIRST = "0000000100000001000000FE"


def test_segments_are_counted_over_the_end_of_a_high_number() -> None:
    last = "000000010000000200000001"
    assert wal.segments_between(FIRST, last) == [
        "00000001000000FE",
        "00000001000000FF",
        "0000000200000000",
        "0000000200000001",
    ]


def test_a_gap_is_named_and_a_switchover_within_it_fills_it() -> None:
    last = "000000020000000200000000"
    have = {FIRST, last}
    assert wal.missing(FIRST, last, have) == ["00000001000000FF"]
    assert wal.missing(FIRST, last, have | {"0000000200000001000000FF"}) == []


def test_what_an_earlier_restore_left_behind_fills_no_gap() -> None:
    first, last = "000000020000000000000031", "000000020000000000000032"
    left = {"000000010000000000000031", "000000010000000000000032"}
    assert wal.missing(first, last, left) == ["0000000000000031", "0000000000000032"]
    assert wal.missing(first, last, left | {first, last}) == []


def test_what_the_receiver_told_last_is_read_with_its_age(own: Settings) -> None:
    assert "never received" in wal.state(own)["error"]
    own.work_directory.mkdir()
    since = datetime.now(UTC) - timedelta(seconds=90)
    told = {"receiving": True, "error": "", "behind_since": since.isoformat()}
    told["at"] = datetime.now(UTC).isoformat()
    wal.state_path(own).write_text(json.dumps(told))
    # Nobody holds the receiver's lock: whatever was written last, nothing is received now.
    assert not wal.state(own)["receiving"]
    with lock.held(own.work_directory / "receiver.lock", "receives the log"):
        found = wal.state(own)
    assert found["receiving"]
    assert found["behind_seconds"] == pytest.approx(90, abs=2)


def test_a_service_that_receives_nothing_is_behind_for_as_long(own: Settings) -> None:
    own.work_directory.mkdir()
    now = datetime.now(UTC)
    away = (now - timedelta(hours=2)).isoformat()
    # As each try that fails tells it anew, with nothing known to wait.
    told = {"receiving": False, "error": "no route", "away_since": away, "at": now.isoformat()}
    wal.state_path(own).write_text(json.dumps(told))
    with lock.held(own.work_directory / "receiver.lock", "receives the log"):
        assert wal.state(own)["behind_seconds"] == pytest.approx(7200, abs=2)


def test_a_receiver_that_ends_at_once_did_not_receive(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "SETTLED_SECONDS", 0.2)
    own.work_directory.mkdir()
    receiver = wal.Receiver(own)
    assert receiver._settled(process.start(["sh", "-c", "echo no password >&2"])) == "no password\n"
    assert receiver._state["away_since"]
    receiver._settled(process.start(["sleep", "0.5"]))
    assert receiver._state["away_since"] is None
