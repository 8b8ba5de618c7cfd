"""What is written down comes to the store, whole and in order, whoever is killed or away."""

from __future__ import annotations

import resource
import threading
import time
from pathlib import Path

import pytest

from slipway_logs import spool as module
from slipway_logs.spool import Full, NotTaken, Spool, waiting

LIMIT = 1 << 20


class Store:
    """A store that is away for some questions; `until` lines it tells whoever waits."""

    def __init__(self, away: int = 0, until: int = 0) -> None:
        self.taken: list[bytes] = []
        self.complete = threading.Event()
        self._away = away
        self._until = until

    def take(self, documents: bytes) -> None:
        """Take them, or be away."""
        if self._away:
            self._away -= 1
            raise NotTaken("away")
        self.taken += documents.splitlines()
        if len(self.taken) >= self._until:
            self.complete.set()


def lines(first: int, count: int) -> list[bytes]:
    """Numbered documents."""
    return [f'{{"number":{number}}}'.encode() for number in range(first, first + count)]


def brought(spool: Spool, store: Store) -> list[bytes]:
    """What the store has once it has all that it waits for."""
    stop = threading.Event()
    bringing = threading.Thread(target=spool.bring, args=(store, stop))
    bringing.start()
    assert store.complete.wait(60)
    stop.set()
    bringing.join(60)
    return store.taken


def test_everything_comes_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 200)
    monkeypatch.setattr(module, "PART_BYTES", 64)
    spool = Spool(tmp_path, LIMIT)
    for first in range(0, 100, 5):
        spool.put(lines(first, 5))
    assert brought(spool, Store(until=100)) == lines(0, 100)
    assert waiting(tmp_path) == 0


def test_a_store_that_is_away_gets_everything_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    spool = Spool(tmp_path, LIMIT)
    spool.put(lines(0, 10))
    assert waiting(tmp_path) > 0
    assert brought(spool, Store(away=3, until=10)) == lines(0, 10)


def test_the_next_one_goes_on_where_a_killed_one_was(tmp_path: Path) -> None:
    first = Spool(tmp_path, LIMIT)
    first.put(lines(0, 10))
    assert brought(first, Store(until=10)) == lines(0, 10)
    first.put(lines(10, 10))
    # Half a line, as a kill leaves it.
    with next(tmp_path.glob("*.jsonl")).open("ab") as file:
        file.write(b'{"number":')
    second = Spool(tmp_path, LIMIT)
    second.put(lines(20, 10))
    assert brought(second, Store(until=20)) == lines(10, 20)


def test_what_is_too_much_is_refused_and_not_half_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 100)
    spool.put(lines(0, 5))
    with pytest.raises(Full, match="of 100 bytes wait"):
        spool.put(lines(5, 5))
    assert brought(spool, Store(until=5)) == lines(0, 5)


def test_a_disk_that_fills_up_within_a_line_spoils_none_of_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LIMIT)
    spool.put(lines(0, 2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = sum(file.stat().st_size for file in tmp_path.glob("*.jsonl"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            spool.put(lines(2, 4))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.put(lines(2, 4))
    taken = brought(spool, Store(until=7))
    assert [each for each in lines(0, 6) if each not in taken] == []
    # The one that there was room for comes twice.
    assert len(taken) == 7
    assert waiting(tmp_path) == 0


def test_without_room_to_note_how_far_it_got_it_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    spool, store, stop = Spool(tmp_path, LIMIT), Store(until=10), threading.Event()
    unfinished = tmp_path / "place.unfinished"
    unfinished.mkdir()
    spool.put(lines(0, 10))
    bringing = threading.Thread(target=spool.bring, args=(store, stop))
    bringing.start()
    assert store.complete.wait(60)
    unfinished.rmdir()
    spool.put(lines(10, 10))
    deadline = time.monotonic() + 60
    while waiting(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    bringing.join(60)
    assert set(store.taken) == set(lines(0, 20))
