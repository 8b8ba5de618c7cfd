"""Files of the log leave the spool at once, and wait for each repository apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway_backup import history, queues, repositories
from slipway_backup.errors import Failed
from slipway_backup.settings import Settings
from slipway_backup.sources import database

WHOLE = ("000000010000000000000001", "000000010000000000000002")
HISTORY = "00000002.history"
PARTIAL = "000000010000000000000003.partial"


@pytest.fixture
def twice(make: Callable[..., Settings], tmp_path: Path) -> Settings:
    """Settings with two repositories, and a spool with all that can be in one."""
    own = make(backup_policy={"second": {"kind": "path", "path": str(tmp_path / "second")}})
    own.spool.mkdir(parents=True)
    for name in (*reversed(WHOLE), HISTORY, PARTIAL, "notes.txt"):
        (own.spool / name).write_text(name)
    return own


def waiting(own: Settings, number: int) -> list[str]:
    return sorted(each.name for each in own.queue(number).iterdir())


def test_only_what_is_whole_is_archived_and_histories_come_first(twice: Settings) -> None:
    assert queues.finished(twice.spool) == [HISTORY, *WHOLE]
    assert queues.finished(twice.spool / "none") == []


def test_what_is_finished_waits_for_each_repository_and_a_history_stays(twice: Settings) -> None:
    given = queues.hand_out(twice)
    assert given == [HISTORY, *WHOLE]
    for number in (repositories.FIRST, repositories.SECOND):
        assert waiting(twice, number) == [*WHOLE, HISTORY]
    assert {each.name for each in twice.spool.iterdir()} == {HISTORY, PARTIAL, "notes.txt"}
    assert queues.hand_out(twice, done=given) == []


def test_what_there_was_no_room_for_goes_and_what_is_being_received_stays(own: Settings) -> None:
    own.spool.mkdir(parents=True)
    sizes = {WHOLE[0]: 0, WHOLE[1]: queues.SEGMENT_BYTES, PARTIAL[:-8]: queues.SEGMENT_BYTES // 16}
    for name, size in sizes.items():
        with (own.spool / f"{name}.partial").open("wb") as file:
            file.truncate(size)
    queues.forget_torn(own)
    assert sorted(each.stem for each in own.spool.iterdir()) == [*WHOLE]


def test_what_was_given_before_a_kill_is_given_again(twice: Settings) -> None:
    first = twice.queue(repositories.FIRST)
    first.mkdir(parents=True)
    (first / WHOLE[0]).hardlink_to(twice.spool / WHOLE[0])
    queues.hand_out(twice)
    assert waiting(twice, repositories.FIRST) == waiting(twice, repositories.SECOND)


def test_another_file_of_the_same_name_is_no_reason_to_lose_either(twice: Settings) -> None:
    first = twice.queue(repositories.FIRST)
    first.mkdir(parents=True)
    (first / WHOLE[0]).write_text("of another server")
    with pytest.raises(Failed, match=WHOLE[0]):
        queues.hand_out(twice)
    assert (first / WHOLE[0]).read_text() == "of another server"
    assert (twice.spool / WHOLE[0]).exists()


def test_a_spool_that_is_set_aside_is_empty_though_no_repository_took_anything(
    twice: Settings,
) -> None:
    queues.set_aside(twice)
    assert [each.name for each in twice.spool.iterdir()] == ["notes.txt"]
    assert waiting(twice, repositories.SECOND) == sorted([*WHOLE, PARTIAL, HISTORY])


def test_a_repository_that_is_away_keeps_its_files_and_nobody_elses(
    twice: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push(_settings: Settings, repository: repositories.Repository, path: Path) -> None:
        if repository.number == repositories.SECOND:
            raise Failed(f"{path.name}: no route")

    monkeypatch.setattr(database, "push", push)
    queues.set_aside(twice)
    first, second = repositories.all_of(twice)
    assert list(queues.archive(twice, first)) == [HISTORY, *WHOLE, PARTIAL]
    with pytest.raises(Failed, match="no route"):
        list(queues.archive(twice, second))
    assert waiting(twice, repositories.FIRST) == []
    assert waiting(twice, repositories.SECOND) == sorted([*WHOLE, PARTIAL, HISTORY])


def test_an_end_that_the_archive_does_not_take_is_in_nobodys_way(
    twice: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def push(_settings: Settings, _repository: repositories.Repository, path: Path) -> None:
        if path.name == PARTIAL:
            raise Failed("another one of that name is there")

    monkeypatch.setattr(database, "push", push)
    queues.set_aside(twice)
    first = repositories.all_of(twice)[0]
    assert list(queues.archive(twice, first))[-1] == PARTIAL
    assert waiting(twice, repositories.FIRST) == []


def test_more_than_is_kept_for_a_repository_elsewhere_is_a_gap_of_that_one(
    twice: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues.hand_out(twice)
    monkeypatch.setattr(queues, "WAITING_BYTES", 20)
    (twice.spool / "000000010000000000000004").write_text("later")
    queues.hand_out(twice, done=[HISTORY])
    assert waiting(twice, repositories.SECOND) == ["000000010000000000000004", HISTORY]
    assert [*WHOLE, "000000010000000000000004", HISTORY] == waiting(twice, repositories.FIRST)
    (line,) = history.read(twice, "gap")
    assert line["repository"] == repositories.SECOND


def test_the_queue_of_a_repository_that_is_no_more_is_removed(
    twice: Settings, make: Callable[..., Settings]
) -> None:
    queues.hand_out(twice)
    alone = twice.model_copy(update={"backup_policy": type(twice.backup_policy)()})
    queues.forget_others(alone)
    assert not twice.queue(repositories.SECOND).exists()
    assert waiting(twice, repositories.FIRST) == [*WHOLE, HISTORY]
