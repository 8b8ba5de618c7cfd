"""What lands is received once and for all, whatever happens to it afterwards, and to the keeper."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway_backup.errors import Failed
from slipway_backup.keeper import landing
from slipway_backup.keeper import store as storing
from slipway_backup.keeper.clock import Clock
from slipway_backup.keeper.landing import Moving
from slipway_backup.keeper.pulling import Pulled, Puller
from slipway_backup.keeper.store import Store

FIRST = "restic/data/ab/first"
SECOND = "pgbackrest/archive/slipway/second"


@pytest.fixture
def landed(tmp_path: Path) -> Path:
    """A landing folder with two files."""
    root = tmp_path / "landing"
    write(root, FIRST, "what came first")
    write(root, SECOND, "what came second")
    return root


def write(root: Path, path: str, text: str) -> None:
    """Put a file there, as both tools do."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    unfinished = root / f"{path}.pgbackrest.tmp"
    unfinished.write_text(text)
    unfinished.rename(root / path)


def puller(landed: Path, reserve: int = 0) -> tuple[Puller, Store]:
    """A keeper that was started now."""
    store = Store(landed.parent / "kept")
    store.show()
    return Puller(landed, store, Clock(store.last), reserve), store


def pull(landed: Path) -> tuple[Pulled, Store]:
    """One pull of a keeper that was started for it."""
    made, store = puller(landed)
    return made.pull(), store


def shown(store: Store) -> dict[str, str]:
    """The newest state, as tools read it."""
    return {
        str(path.relative_to(store.now)): path.read_text()
        for path in store.now.rglob("*")
        if path.is_file()
    }


def laid_out(store: Store, at: datetime, target: Path) -> dict[str, str]:
    """A state, as it is given back."""
    store.lay_out(store.state(at), target)
    return {
        str(path.relative_to(target)): path.read_text()
        for path in target.rglob("*")
        if path.is_file()
    }


def test_what_was_deleted_and_overwritten_is_kept_as_it_was(landed: Path, tmp_path: Path) -> None:
    made, store = puller(landed)
    assert made.pull().whole
    then = store.last
    assert then is not None
    (landed / FIRST).unlink()
    # In place, as whoever holds a link to the file would find it changed.
    (landed / SECOND).write_text("what an attacker wrote")
    found = made.pull()
    assert (found.gone, found.changed) == ((FIRST,), (SECOND,))
    assert shown(store) == {SECOND: "what an attacker wrote"}
    before = {FIRST: "what came first", SECOND: "what came second"}
    assert laid_out(store, then, tmp_path / "then") == before
    # And after a start, too.
    assert laid_out(Store(store.root), then, tmp_path / "again") == before


def test_the_same_is_received_once_also_after_a_start(landed: Path) -> None:
    made, store = puller(landed)
    made.pull()
    assert made.pull() == Pulled((), (), whole=True)
    assert pull(landed)[0] == Pulled((), (), whole=True)
    assert sum(map(len, Store(store.root).versions.values())) == 2


def test_a_change_that_hides_its_time_is_seen(landed: Path) -> None:
    made, _ = puller(landed)
    made.pull()
    told = (landed / FIRST).stat()
    (landed / FIRST).write_text("what came thirst")
    os.utime(landed / FIRST, ns=(told.st_atime_ns, told.st_mtime_ns))
    assert made.pull().changed == (FIRST,)


def test_what_is_being_written_is_waited_for(landed: Path) -> None:
    (landed / "restic/data/ab/later-restic-temp-12").write_text("half")
    (landed / f"{SECOND}.pgbackrest.tmp").write_text("half")
    assert set(landing.look(landed)) == {FIRST, SECOND}
    with pytest.raises(Moving), landing.opened(landed, FIRST):
        (landed / FIRST).write_text("written to meanwhile")


def test_no_link_leads_out_of_the_landing_folder(landed: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("of the keeper")
    (landed / "restic/data/link").symlink_to(tmp_path / "secret/key")
    (landed / "restic/data/folder").symlink_to(tmp_path / "secret")
    (landed / "restic/index").symlink_to(tmp_path / "secret")
    os.mkfifo(landed / "restic/data/pipe")
    assert set(landing.look(landed)) == {FIRST, SECOND}
    # A folder that becomes a link between the look and the reading.
    for path in ("restic/data/folder/key", "restic/data/link", "restic/data/pipe"):
        with pytest.raises(Moving), landing.opened(landed, path):
            pass


def test_a_folder_with_the_name_of_a_file_and_the_other_way_round(landed: Path) -> None:
    made, store = puller(landed)
    made.pull()
    (landed / FIRST).unlink()
    write(landed, f"{FIRST}/below", "a folder now")
    (landed / SECOND).unlink()
    (landed / "pgbackrest/archive/slipway").rmdir()
    write(landed, "pgbackrest/archive/slipway", "a file now")
    made.pull()
    assert shown(store) == {
        f"{FIRST}/below": "a folder now",
        "pgbackrest/archive/slipway": "a file now",
    }


def test_the_reserve_is_never_taken_and_what_is_there_stays(landed: Path) -> None:
    pull(landed)
    write(landed, FIRST, "what an attacker brings")
    made, store = puller(landed, reserve=storing.size(landed))
    found = made.pull()
    assert found.full
    assert not found.whole
    assert shown(store)[FIRST] == "what came first"
    assert not (store.root / "unfinished").exists()


def test_a_content_that_the_disk_spoiled_is_not_given_back(landed: Path, tmp_path: Path) -> None:
    _, store = pull(landed)
    line = store.state()[FIRST]
    content = store.root / "contents" / line.sha256[:2] / line.sha256
    content.chmod(0o640)
    content.write_text("what went first")
    with pytest.raises(Failed, match=f"{FIRST} is not what was received"):
        store.lay_out(store.state(), tmp_path / "out")


class Killed(BaseException):
    """What nobody handles."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[str]]]:
    """Kills before the step of this number; the steps that were reached are told."""
    reached: list[str] = []
    left = [0]

    def before(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            reached.append(name)
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*args, **named)

        return step

    def arm(steps: int) -> list[str]:
        reached.clear()
        left[0] = steps
        return reached

    arm(1 << 30)
    for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "hardlink_to"), (Path, "unlink")):
        monkeypatch.setattr(owner, name, before(name, getattr(owner, name)))
    yield arm
    arm(1 << 30)


def test_killed_before_any_step_nothing_is_lost_and_the_rest_comes(
    landed: Path, tmp_path: Path, killed: Callable[[int], list[str]]
) -> None:
    _, store = pull(landed)
    then, before = store.last, shown(store)
    assert then is not None
    for path in (FIRST, SECOND):
        (landed / path).unlink()
    write(landed, SECOND, "another second")
    write(landed, "restic/index/third", "what came third")
    after = {SECOND: "another second", "restic/index/third": "what came third"}
    for step in range(100):
        own = tmp_path / str(step)
        shutil.copytree(landed, own / "landing")
        shutil.copytree(store.root, own / "kept")
        reached = killed(step)
        try:
            pull(own / "landing")
        except Killed:
            killed(1 << 30)
            # Whatever is there of it by now, what was there before comes back.
            assert laid_out(Store(own / "kept"), then, own / "out") == before
            assert shown(pull(own / "landing")[1]) == after
        else:
            break
    assert step == len(reached) > 10
    assert set(reached) == {"fsync", "rename", "hardlink_to", "unlink"}


def test_a_torn_line_takes_no_other_along(landed: Path) -> None:
    _, store = pull(landed)
    log = store.root / "received.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    store = Store(store.root)
    assert len(store.state()) == 1
    _, store = pull(landed)
    assert len(store.state()) == 2
    assert Store(store.root).state() == store.state()


def test_receive_time_is_not_moved_by_the_clock_of_the_host() -> None:
    said, ran = [datetime(2026, 12, 1, tzinfo=UTC)], [100.0]
    clock = Clock(None, lambda: said[0], lambda: ran[0])
    for step in (timedelta(days=-9), timedelta(days=90)):
        said[0], ran[0] = clock.now() + step, ran[0] + 60
        assert clock.step() == step - timedelta(seconds=60)
    assert clock.now() == datetime(2026, 12, 1, 0, 2, tzinfo=UTC)
    # A clock that was set back while no keeper ran: nothing is received before what was.
    last = datetime(2027, 1, 1, tzinfo=UTC)
    assert Clock(last, lambda: said[0] - timedelta(days=900), lambda: 0).now() == last
