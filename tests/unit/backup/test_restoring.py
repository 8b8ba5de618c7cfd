"""What is restored is chosen by what was asked for, and never over something else."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway_backup import points, recovery, restoring, retention
from slipway_backup.errors import Failed, Refused
from slipway_backup.points import Point, Stored
from slipway_backup.policy import Keep
from slipway_backup.repositories import Repository
from slipway_backup.settings import Settings
from slipway_backup.sources import database
from slipway_backup.sources.database import Copy


def stored(point: Point) -> Stored:
    place = Repository(1, Keep(), "/nowhere")
    return cast("Stored", SimpleNamespace(point=point, repository=place))


@pytest.mark.parametrize("text", ["yesterday", "2026-11-29T12:00:00"])
def test_a_time_names_its_zone(text: str) -> None:
    with pytest.raises(Refused):
        restoring.moment(text)
    assert restoring.moment("2026-11-29T12:00:00+00:00") == datetime(2026, 11, 29, 12, tzinfo=UTC)


def test_files_come_from_the_first_point_after_the_time(point: Callable[..., Point]) -> None:
    listed = [stored(point(time=f"2026-11-{day}T12:00:00+00:00")) for day in (20, 22, 24)]
    at = datetime(2026, 11, 21, tzinfo=UTC)
    assert restoring.with_files(listed, at) is listed[1]
    assert restoring.with_files(listed, datetime(2026, 12, 1, tzinfo=UTC)) is listed[2]
    assert restoring.with_files(listed, None) is listed[2]
    assert restoring.with_files([], at) is None


def test_a_point_is_found_by_id_name_or_as_the_latest(point: Callable[..., Point]) -> None:
    listed = [stored(point(id="a", name="monday")), stored(point(id="b"))]
    assert points.choose(listed, "monday") is listed[0]
    assert points.choose(listed, "b") is points.choose(listed, "latest") is listed[1]
    assert points.choose(listed, "") is None
    assert points.choose([], "latest") is None


def test_a_point_that_was_cut_short_is_none() -> None:
    with pytest.raises(Failed, match="not whole"):
        points.parse('{"id": "a", "time"')
    with pytest.raises(Failed, match="not whole"):
        points.parse('{"id": "a"}')


def test_a_point_goes_with_its_copy_and_not_before(point: Callable[..., Point]) -> None:
    listed = [stored(point(id="a")), stored(point(id="b", database={"labels": {"1": "other"}}))]
    assert retention.of_copies(listed, {"other"}) == [listed[1]]
    assert retention.of_copies(listed, set()) == []


def copied(label: str, kind: str, *needs: str) -> Copy:
    return cast("Copy", SimpleNamespace(label=label, kind=kind, needs=needs))


def test_copies_of_failed_runs_are_not_counted_as_what_is_kept() -> None:
    copies = [
        copied("1F", "full"),
        copied("1F_1D", "diff", "1F"),
        copied("2F", "full"),
        copied("2F_1I", "incr", "2F"),
        # Of three runs in a row that failed after it, and of one that did not.
        *(copied(f"{number}F", "full") for number in (3, 4, 5)),
        copied("6F", "full"),
    ]
    # No point is the second full copy's own; one rests on it.
    kept = retention.counted(copies, {"1F", "1F_1D", "2F_1I", "6F"}, Keep(full=2, differential=3))
    assert (kept.full, kept.differential) == (5, 6)
    every = retention.counted(copies, {"6F"}, Keep(full=2, differential=9))
    assert (every.full, every.differential) == (6, 9)


def test_a_point_that_cannot_be_reached_overwrites_nothing(
    own: Settings,
    point: Callable[..., Point],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = stored(point())
    target = recovery.Target(name="slipway-a")
    choice = restoring.Choice(chosen.repository, "20261129-120000F", target, chosen)
    copy = SimpleNamespace(label="20261129-120000F", start_segment="000000010000000000000004")
    have = {"000000010000000000000004"}
    monkeypatch.setattr(database, "copies", lambda *_words: [copy])
    monkeypatch.setattr(database, "archived", lambda *_words: have)
    data = tmp_path / "17"
    with pytest.raises(Refused, match="file 0000000000000005 is missing; nothing was overwritten"):
        restoring.restore(own, choice, data)
    assert not data.exists()
    assert points.gaps(chosen, [copy], have | {"000000010000000000000005"}) == []
    monkeypatch.setattr(database, "copies", lambda *_words: [])
    with pytest.raises(Refused, match="20261129-120000F, is missing"):
        restoring.restore(own, choice, data)


def test_a_copy_of_the_database_that_no_point_has_files_for_is_not_restored(
    own: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = SimpleNamespace(number=1, name="the repository")
    known = SimpleNamespace(of=lambda *_words: 1, leads=lambda *_words: True)
    copy = SimpleNamespace(label="20261129-120000F", stopped=datetime(2026, 11, 29, tzinfo=UTC))
    monkeypatch.setattr(points, "reachable", lambda _settings: [(place, [])])
    monkeypatch.setattr(restoring.timelines, "read", lambda *_words: known)
    monkeypatch.setattr(database, "copies", lambda *_words: [copy])
    with pytest.raises(Refused, match="no recovery point, so no files"):
        restoring.choose(own, to="latest")


def test_a_folder_with_a_server_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "17"
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refused, match="a server runs on"), restoring._alone(data, None):
            pass


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "17"
    data.mkdir()
    (data / "diary.txt").touch()
    said = r"holds something else: diary\.txt"
    with pytest.raises(Refused, match=said), restoring._alone(data, None):
        pass
    assert (data / "diary.txt").exists()


def test_what_a_killed_restore_left_before_it_had_a_name_is_removed(tmp_path: Path) -> None:
    data = tmp_path / "17"
    (data / "base").mkdir(parents=True)
    (tmp_path / restoring.RESUMED).touch()
    with restoring._alone(data, None):
        assert not data.exists()


def test_how_far_is_told_to_the_server() -> None:
    assert recovery.Target(name="p", timeline="2").settings == {
        "recovery_target_action": "promote",
        "recovery_target_timeline": "2",
        "recovery_target_name": "p",
    }
    assert "recovery_target_time" not in recovery.Target().settings


def test_an_end_of_the_archive_is_the_last_file_that_is_there() -> None:
    said = (
        'LOG:  restored log file "000000010000000000000004" from archive\n'
        'LOG:  restored log file "000000010000000000000003" from archive\n'
        "LOG:  last completed transaction was at log time 2026-11-29 14:30:00.25+00\n"
    )
    restoring.require_end(said, {"000000010000000000000003", "000000010000000000000004"})
    restoring.require_end("", set())
    with pytest.raises(Failed, match="up to 000000010000000000000006") as refused:
        restoring.require_end(said, {"000000010000000000000004", "000000010000000000000006"})
    when = refused.value.next.rpartition("--to ")[2]
    assert restoring.moment(when) == datetime(2026, 11, 29, 14, 30, 0, 250000, tzinfo=UTC)
    with pytest.raises(Failed, match="ended with the copy"):
        restoring.require_end("", {"000000010000000000000004"})


def test_why_a_recovery_ended_is_told_with_the_file_that_is_missing() -> None:
    replayed = 'LOG:  restored log file "000000010000000000000004" from archive\n'
    absent = "P00 INFO: unable to find 000000010000000000000005 in the archive\n"
    found = recovery._failure(f"{replayed}{absent}FATAL:  {recovery.ENDED_EARLY}\n")
    assert isinstance(found, recovery.EndedEarly)
    assert (found.last, found.missing) == (
        "000000010000000000000004",
        "000000010000000000000005",
    )
    other = recovery._failure("FATAL:  could not access file\n")
    assert "could not access file" in str(other)
    assert not isinstance(other, recovery.EndedEarly)


@pytest.mark.parametrize(
    ("said", "last"),
    [
        ("2026-11-30 03:00:07.51804+00", "2026-11-30T03:00:07+00:00"),
        ("2026-11-30 03:00:07+00", "2026-11-30T03:00:07+00:00"),
        ("", ""),
    ],
)
def test_the_last_write_that_was_replayed_is_told(said: str, last: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = f"LOG:  last completed transaction was at log time {said}\n" if said else ""
    log.write_text(f"LOG:  redo done at 0/3000110\n{line}LOG:  selected new timeline ID: 2\n")
    server = recovery.Server(tmp_path, tmp_path, cast("Any", None), log, "slipway")
    assert server.last_write() == last
