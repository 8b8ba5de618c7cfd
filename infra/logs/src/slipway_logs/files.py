"""The engine's files of every container, each read on from where it was read to.

The engine writes a container's lines to `ID/ID-json.log`. When that is full it is called `.1`, and
what was called so before becomes `.2`; the oldest goes. So a file is known by its inode and by how
it begins, because an inode is given again. Lines are whole, and come in the order in which they
were written.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from io import FileIO
from pathlib import Path

#: As much of a file is read at once. The engine cuts lines at 16 KiB, so many are in it.
PART_BYTES = 1 << 20
#: A file is recognized by as much of its beginning.
HEAD_BYTES = 512


@dataclass(frozen=True)
class Place:
    """How far a container's files were read: which file, and how many bytes of it.

    `head` is the checksum of what was read of its first bytes.
    """

    inode: int
    read: int
    head: int


@dataclass(frozen=True)
class Part:
    """Whole lines of a container, and the place behind them."""

    container: str
    lines: tuple[bytes, ...]
    place: Place


@dataclass
class Container:
    """One container's files, and the one of them that is being read.

    It stays open, so that the rest of it is there when the engine renames or removes it. `own` is
    whether the container is one of this environment, None before its first line.
    """

    folder: Path
    place: Place | None = None
    own: bool | None = None
    file: FileIO | None = None
    read: int = 0
    #: How often the engine had removed the file that was to be read on.
    missed: int = 0

    def parts(self) -> Iterator[tuple[bytes, Place]]:
        """What was written since the last time, as bytes that end with a line's end."""
        if self.file is None and not self._begin():
            return
        while True:
            # Looked up first: once it has another name, a file does not grow any more.
            newer = self._newer()
            yield from self._rest(ended=bool(newer))
            if not newer:
                return
            for other in newer[1:]:
                other.close()
            self._take(newer[0])

    def close(self) -> None:
        """Let the file go."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _begin(self) -> bool:
        """Open the file that was read last, else the oldest; whether there is one."""
        files = self._opened()
        if not files:
            return False
        at = next((at for at, each in enumerate(files) if self._is_read(each)), None)
        if self.place is not None and at is None:
            self.missed += 1
        chosen = files.pop(at or 0)
        for other in files:
            other.close()
        self._take(chosen, 0 if at is None or self.place is None else self.place.read)
        return True

    def _is_read(self, file: FileIO) -> bool:
        place = self.place
        return (
            place is not None
            and os.fstat(file.fileno()).st_ino == place.inode
            and _head(file, place.read) == place.head
        )

    def _take(self, file: FileIO, read: int = 0) -> None:
        self.close()
        self.file, self.read = file, read

    def _newer(self) -> list[FileIO]:
        """The files after the one that is read, the oldest first."""
        assert self.file is not None
        inode = os.fstat(self.file.fileno()).st_ino
        if self._current() in {inode, None}:
            return []
        files = self._opened()
        inodes = [os.fstat(each.fileno()).st_ino for each in files]
        if inode not in inodes:
            self.missed += bool(files)
            return files
        at = inodes.index(inode) + 1
        for other in files[:at]:
            other.close()
        return files[at:]

    def _rest(self, *, ended: bool) -> Iterator[tuple[bytes, Place]]:
        assert self.file is not None
        status = os.fstat(self.file.fileno())
        if status.st_size < self.read:
            # Emptied by somebody.
            self.read = 0
        while part := os.pread(self.file.fileno(), PART_BYTES, self.read):
            whole = part[: part.rfind(b"\n") + 1]
            if not whole:
                if not ended and len(part) < PART_BYTES:
                    return
                # No line of the engine's: a crash cut it off, or something else wrote it.
                whole = part
            self.read += len(whole)
            yield whole, Place(status.st_ino, self.read, _head(self.file, self.read))

    def _opened(self) -> list[FileIO]:
        """The files, the oldest first; none while the engine is about to begin one."""
        while (current := self._current()) is not None:
            files = self._opened_once()
            if self._current() == current:
                return files
            for file in files:
                file.close()
        return []

    def _opened_once(self) -> list[FileIO]:
        """The files by their names, which are in order unless one is renamed meanwhile.

        They are opened from the newest on, as the engine renames from the oldest on: at most, one
        is met twice, and one name in between is nobody's.
        """
        found: dict[int, FileIO] = {}
        number = nobody = 0
        while nobody < 2:
            try:
                file = FileIO(self._name(f".{number}" if number else ""))
            except FileNotFoundError:
                nobody += 1
            else:
                nobody = 0
                inode = os.fstat(file.fileno()).st_ino
                if inode in found:
                    file.close()
                else:
                    found[inode] = file
            number += 1
        return list(reversed(found.values()))

    def _current(self) -> int | None:
        """The inode of the newest file; None while it is renamed, or with its container gone."""
        try:
            return self._name("").stat().st_ino
        except FileNotFoundError:
            return None

    def _name(self, suffix: str) -> Path:
        return self.folder / f"{self.folder.name}-json.log{suffix}"


class Files:
    """The files of all containers of an environment, and a file that says how far they are read."""

    def __init__(self, engine: Path, own: bytes, places: Path) -> None:
        """`own` is what every line of the environment's containers has, and no other one's."""
        self._engine = engine
        self._own = own
        self._file = places
        self._places: dict[str, Place] = _noted(places)
        self._containers: dict[str, Container] = {}
        self._gone_missed = 0

    @property
    def missed(self) -> int:
        """How often the engine had removed files before they were read."""
        # Asked for by another thread than the one that looks.
        return self._gone_missed + sum(each.missed for each in tuple(self._containers.values()))

    def look(self) -> Iterator[Part]:
        """What was written since the last look. Raises OSError without the engine's folder."""
        there = {each.name for each in os.scandir(self._engine) if each.is_dir()}
        self._places = {name: each for name, each in self._places.items() if name in there}
        for name in sorted(there | set(self._containers)):
            container = self._containers.get(name)
            if container is None:
                container = Container(self._engine / name, self._places.get(name))
                self._containers[name] = container
            if container.own is not False:
                yield from self._of(container)
            if name not in there:
                # Gone, and what was its last word has been read.
                container.close()
                self._gone_missed += container.missed
                del self._containers[name]

    def _of(self, container: Container) -> Iterator[Part]:
        for text, place in container.parts():
            if container.own is None:
                container.own = self._own in text[: text.find(b"\n")]
            if not container.own:
                # Another environment's, or nobody's: its lines are nobody's business here.
                container.close()
                return
            yield Part(container.folder.name, tuple(text.removesuffix(b"\n").split(b"\n")), place)

    def done(self, parts: Iterable[Part]) -> None:
        """Note that everything up to these is written down elsewhere. Raises OSError."""
        self._places |= {part.container: part.place for part in parts}
        told = {name: astuple(place) for name, place in self._places.items()}
        unfinished = self._file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(told), encoding="ascii")
        unfinished.replace(self._file)

    def close(self) -> None:
        """Let every file go; the next look begins where the notes say."""
        for container in self._containers.values():
            container.close()
        self._gone_missed = self.missed
        self._containers = {}


def _noted(file: Path) -> dict[str, Place]:
    """What was noted; nothing where nothing was, or where it cannot be read."""
    with suppress(FileNotFoundError, ValueError, TypeError):
        told: Mapping[str, list[int]] = json.loads(file.read_text(encoding="ascii"))
        return {name: Place(*place) for name, place in told.items()}
    return {}


def _head(file: FileIO, read: int) -> int:
    return zlib.crc32(os.pread(file.fileno(), min(read, HEAD_BYTES), 0))
