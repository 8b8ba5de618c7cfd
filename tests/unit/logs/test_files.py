"""Lines of the engine's files come once, whole and in order, whatever becomes of the files."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from slipway_logs.files import Files

#: As the engine keeps them.
KEPT = 5
OWN = b'"tag":"slipway-prod-'
Start = Callable[[Path], Files]


class Engine:
    """Writes a container's lines as the engine does, file after file."""

    def __init__(self, folder: Path, name: str = "abc", environment: str = "prod") -> None:
        self.file = folder / name / f"{name}-json.log"
        self.file.parent.mkdir(parents=True)
        self.file.touch()
        self._tag = f"slipway-{environment}-g1-worker-1"
        self.count = 0

    def write(self, count: int = 1) -> None:
        """Write numbered lines."""
        with self.file.open("a") as file:
            for _ in range(count):
                file.write(f"{json.dumps({'number': self.count, 'attrs': {'tag': self._tag}})}\n")
                self.count += 1

    def rename(self) -> None:
        """Begin the next file, and remove the oldest."""
        for number in range(KEPT - 1, 0, -1):
            old = self._name(number - 1)
            if old.exists():
                old.replace(self._name(number))
        self.file.touch()

    def remove(self) -> None:
        """Remove the container."""
        for file in self.file.parent.iterdir():
            file.unlink()
        self.file.parent.rmdir()

    def _name(self, number: int) -> Path:
        return self.file.with_name(f"{self.file.name}.{number}") if number else self.file


@pytest.fixture(name="folder")
def engine_folder(tmp_path: Path) -> Path:
    """The engine's folder."""
    folder = tmp_path / "engine"
    folder.mkdir()
    return folder


@pytest.fixture(name="files")
def started_files() -> Iterator[Callable[[Path], Files]]:
    """Gives the files as a collector that starts now finds them."""
    with ExitStack() as closing_all:

        def start(folder: Path) -> Files:
            # The engine writes no spaces there; Python's JSON does.
            started = Files(folder, OWN.replace(b":", b": "), folder.parent / "places.json")
            return closing_all.enter_context(closing(started))

        yield start


def numbers(of: Files, *, noted: bool = True) -> list[int]:
    """What one look brings."""
    parts = list(of.look())
    if noted and parts:
        of.done(parts)
    return [json.loads(line)["number"] for part in parts for line in part.lines]


def test_what_is_written_while_files_are_renamed_comes_once_and_in_order(
    folder: Path, files: Start
) -> None:
    engine, found, stop = Engine(folder), list[int](), threading.Event()
    looks, seed = 0, random.Random(4)

    def write() -> None:
        for _ in range(40):
            # What the engine removes before it is looked at cannot be read.
            for _ in range(KEPT - 2):
                engine.write(seed.randint(0, 40))
                if seed.random() < 0.7:
                    engine.rename()
            # The second look to end from here on is one that began after this.
            awaited = looks + 2
            while looks < awaited:
                time.sleep(0.0002)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    of, last = files(folder), False
    while not last:
        last = stop.is_set()
        found += numbers(of)
        looks += 1
        if seed.random() < 0.2:
            of = files(folder)
    writer.join()
    assert of.missed == 0
    assert found == list(range(engine.count))


def test_what_was_not_written_down_comes_again_after_a_kill(folder: Path, files: Start) -> None:
    engine = Engine(folder)
    engine.write(3)
    assert numbers(files(folder)) == [0, 1, 2]
    engine.write(2)
    assert numbers(files(folder), noted=False) == [3, 4]
    engine.rename()
    engine.write(1)
    assert numbers(files(folder)) == [3, 4, 5]
    assert numbers(files(folder)) == []


def test_the_last_words_of_a_container_that_is_removed_are_read(folder: Path, files: Start) -> None:
    engine = Engine(folder)
    engine.write()
    of = files(folder)
    assert numbers(of) == [0]
    engine.write()
    engine.remove()
    assert numbers(of) == [1]
    again = Engine(folder)
    again.write()
    assert numbers(of) == [0]


def test_places_of_containers_that_are_gone_are_forgotten(folder: Path, files: Start) -> None:
    engines = {name: Engine(folder, name) for name in ("abc", "def", "ghi")}
    for engine in engines.values():
        engine.write()
    of = files(folder)
    assert numbers(of) == [0, 0, 0]
    engines["abc"].write()
    engines["abc"].remove()
    assert numbers(of) == [1]
    engines["def"].remove()
    of = files(folder)
    engines["ghi"].write()
    assert numbers(of) == [1]
    assert set(json.loads((folder.parent / "places.json").read_text())) == {"ghi"}


def test_files_that_the_engine_removed_unread_are_counted(folder: Path, files: Start) -> None:
    engine = Engine(folder)
    engine.write()
    assert numbers(files(folder)) == [0]
    for _ in range(KEPT + 1):
        engine.write()
        engine.rename()
    of = files(folder)
    assert numbers(of) == [3, 4, 5, 6]
    assert of.missed == 1
    engine.remove()
    assert numbers(of) == []
    assert of.missed == 1


def test_another_file_with_the_same_inode_is_read_from_its_beginning(
    folder: Path, files: Start
) -> None:
    engine = Engine(folder)
    engine.write()
    assert numbers(files(folder)) == [0]
    text = engine.file.read_text()
    engine.file.write_text(text.replace('"number": 0', '"number": 7') + text)
    assert numbers(files(folder)) == [7, 0]


def test_containers_of_other_environments_are_left_alone(folder: Path, files: Start) -> None:
    own, other = Engine(folder, "abc"), Engine(folder, "def", "staging")
    of = files(folder)
    for engine in (own, other):
        engine.write(2)
    assert numbers(of) == [0, 1]
    other.write()
    assert numbers(of) == []


def test_half_a_line_waits_for_its_end_unless_nothing_follows(folder: Path, files: Start) -> None:
    engine = Engine(folder)
    engine.write()
    of = files(folder)
    assert numbers(of) == [0]
    whole = engine.file.read_text().replace('"number": 0', '"number": 8')
    with engine.file.open("a") as file:
        file.write(whole[:20])
        file.flush()
        assert numbers(of) == []
        file.write(whole[20:])
        file.flush()
        assert numbers(of) == [8]
        file.write(whole[:20])
    engine.rename()
    engine.write()
    cut, after = [line for part in of.look() for line in part.lines]
    assert cut == whole[:20].encode()
    assert json.loads(after)["number"] == 1


def test_a_file_that_somebody_emptied_is_read_from_its_beginning(
    folder: Path, files: Start
) -> None:
    engine = Engine(folder)
    engine.write(3)
    of = files(folder)
    assert numbers(of) == [0, 1, 2]
    engine.file.write_text("")
    assert numbers(of) == []
    engine.write()
    assert numbers(of) == [3]


def test_notes_that_cannot_be_read_begin_anew(folder: Path, files: Start) -> None:
    (folder.parent / "places.json").write_text("{half")
    Engine(folder).write()
    assert numbers(files(folder)) == [0]


def test_without_the_engines_folder_there_is_nothing_to_collect(
    tmp_path: Path, files: Start
) -> None:
    with pytest.raises(FileNotFoundError):
        list(files(tmp_path / "nowhere").look())
