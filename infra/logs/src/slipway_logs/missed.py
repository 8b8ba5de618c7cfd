"""Lines in files that the engine gave another name while no collector ran.

While one runs, rsyslog reads a file to its end though it is renamed meanwhile. A new collector
would not look at it again: so before it starts, what was not read is copied to where it looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

PART = 1 << 20


def save(engine: Path, places: Path, missed: Path) -> list[Path]:
    """Copy what was not read of renamed files into `missed`; the copies that were made.

    `places` has rsyslog's place in every file. Of a container that it has read nothing of there is
    nothing to miss: such a one may have been there for months before the first collector.
    """
    known = _places(places)
    made = []
    for current in sorted(engine.glob("*/*-json.log")):
        for file, start in _unread(current, known):
            inode = file.stat().st_ino
            copy = missed / f"{current.name.removesuffix('-json.log')[:64]}-{inode}.log"
            if not copy.exists():
                _copy(file, start, copy)
                made.append(copy)
    there = {str(file.stat().st_ino) for file in engine.glob("*/*-json.log*")}
    for old in missed.glob("*.log"):
        # The engine has removed the file itself, which takes it longer than reading does.
        if old.stem.rpartition("-")[2] not in there:
            old.unlink()
    return made


def _places(folder: Path) -> Mapping[int, int]:
    """Inode -> how many bytes of the file were read."""
    found: dict[int, int] = {}
    # An inode may have been another file's before: what was written last holds.
    for state in sorted(folder.glob("imfile-state:*"), key=lambda path: path.stat().st_mtime):
        try:
            told = json.loads(state.read_text(encoding="utf-8"))
            found[int(state.name.split(":")[1])] = int(told["curr_offs"])
        except (ValueError, KeyError, IndexError):
            continue
    return found


def _unread(current: Path, known: Mapping[int, int]) -> Iterator[tuple[Path, int]]:
    """The renamed files with something unread, the oldest first, and where that begins."""
    named = ((f"{current.name}.{number}", number) for number in range(1, 100))
    renamed = [current.with_name(name) for name, _ in named if current.with_name(name).exists()]
    files = [(file, file.stat()) for file in (*reversed(renamed), current)]
    read = [place for place, (_, status) in enumerate(files) if status.st_ino in known]
    if not read:
        return
    # Files are read in order: whatever is older than the newest that is known was read before.
    for file, status in files[read[-1] : -1]:
        start = known.get(status.st_ino, 0)
        if start < status.st_size:
            yield file, start


def _copy(file: Path, start: int, copy: Path) -> None:
    unfinished = copy.with_suffix(".unfinished")
    with file.open("rb") as source, unfinished.open("wb") as target:
        source.seek(start)
        while part := source.read(PART):
            target.write(part)
    unfinished.replace(copy)
