"""Lines in files that the engine gave another name while no collector ran.

While one runs, rsyslog reads a file to its end though it is renamed meanwhile. A new collector
would not look at it again: so before it starts, what was not read is copied to where it looks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

PART = 1 << 20


def save(engine: Path, places: Path, missed: Path) -> list[Path]:
    """Copy what was not read of renamed files into `missed`; the copies that were made.

    `places` has rsyslog's place in every file. Of a container that it has read nothing of there is
    nothing to miss: such a one may have been there for months before the first collector.
    """
    known = _places(places)
    made = []
    for current in sorted(engine.glob("*/*-json.log")):
        with ExitStack() as closing:
            for inode, file, start in _unread(_opened(current, closing), known):
                copy = missed / f"{current.name.removesuffix('-json.log')[:64]}-{inode}.log"
                if not copy.exists():
                    _copy(file, start, copy)
                    made.append(copy)
    there = _inodes(engine.glob("*/*-json.log*"))
    for old in missed.glob("*.log"):
        # The engine has removed the file itself, which takes it longer than reading does.
        if int(old.stem.rpartition("-")[2]) not in there:
            old.unlink()
    for state in places.glob("imfile-state:*"):
        # rsyslog leaves some of those of files that are gone, and inodes are given again.
        if not Path(_told(state).get("filename", "")).exists():
            state.unlink()
    return made


def _places(folder: Path) -> Mapping[int, int]:
    """Inode -> how many bytes of the file were read."""
    found: dict[int, int] = {}
    # An inode may have been another file's before: what was written last holds.
    for state in sorted(folder.glob("imfile-state:*"), key=lambda path: path.stat().st_mtime):
        with suppress(ValueError, KeyError, IndexError):
            found[int(state.name.split(":")[1])] = int(_told(state)["curr_offs"])
    return found


def _told(state: Path) -> dict[str, Any]:
    """What rsyslog noted of a file; nothing where it was killed while it did."""
    try:
        told = json.loads(state.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _opened(current: Path, closing: ExitStack) -> list[BinaryIO]:
    """The files of one container, the oldest first; none where it has just gone.

    They are opened from the newest on: one that is renamed meanwhile is then met twice at most.
    """
    found: dict[int, BinaryIO] = {}
    for name in (current.name, *(f"{current.name}.{number}" for number in range(1, 100))):
        with suppress(FileNotFoundError):
            file = closing.enter_context(current.with_name(name).open("rb"))
            found.setdefault(_status(file).st_ino, file)
    return list(reversed(found.values()))


def _unread(
    files: Iterable[BinaryIO], known: Mapping[int, int]
) -> Iterator[tuple[int, BinaryIO, int]]:
    """The renamed files with something unread, the oldest first: inode, file, where it begins."""
    there = [(_status(file).st_ino, file, _status(file).st_size) for file in files]
    read = [place for place, (inode, _, _) in enumerate(there) if inode in known]
    if not read:
        return
    # Files are read in order: whatever is older than the newest that is known was read before.
    for inode, file, size in there[read[-1] : -1]:
        start = known.get(inode, 0)
        if start < size:
            yield inode, file, start


def _status(file: BinaryIO) -> os.stat_result:
    return os.fstat(file.fileno())


def _inodes(files: Iterable[Path]) -> set[int]:
    """The inodes of files, of which some may be gone by now."""
    found = set()
    for file in files:
        with suppress(FileNotFoundError):
            found.add(file.stat().st_ino)
    return found


def _copy(source: BinaryIO, start: int, copy: Path) -> None:
    unfinished = copy.with_suffix(".unfinished")
    with unfinished.open("wb") as target:
        source.seek(start)
        while part := source.read(PART):
            target.write(part)
    unfinished.replace(copy)
