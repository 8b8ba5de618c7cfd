"""Documents on their way to the store: written to disk first, and removed once the store has them.

Whoever hands one over need not wait for the store, and none is lost when this process is killed. At
most, what was on its way at that moment comes a second time.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

SEGMENT_BYTES = 16 << 20
#: As much as the store is given at once.
PART_BYTES = 2 << 20
PAUSE_SECONDS = 1.0


class Taker(Protocol):
    """Whom documents are brought to."""

    def take(self, documents: bytes) -> None:
        """Take them, a line each. Raises NotTaken."""


class NotTaken(Exception):
    """The store did not take something; the text says why."""


class Full(Exception):
    """There is no room for more on disk."""


class Spool:
    """A row of files, written at one end and read at the other."""

    def __init__(self, folder: Path, limit: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit
        self._turn = threading.Condition()
        numbers = self._numbers()
        # A killed writer may have left half a line: what comes now begins in a file of its own.
        self._written = (numbers[-1] if numbers else 0) + 1
        self._size = 0
        self._kept = sum(self._file(number).stat().st_size for number in numbers)

    def put(self, documents: Sequence[bytes]) -> None:
        """Write documents down. Raises Full, and OSError when the disk is."""
        if not documents:
            return
        text = b"\n".join((*documents, b""))
        with self._turn:
            if self._kept + len(text) > self._limit:
                raise Full(f"{self._kept} of {self._limit} bytes wait for the store")
            if self._size > SEGMENT_BYTES:
                self._written += 1
                self._size = 0
            try:
                with self._file(self._written).open("ab") as file:
                    file.write(text)
            except OSError:
                # What there was room for may end inside a line: what comes next does not follow it.
                self._kept += self._file(self._written).stat().st_size - self._size
                self._written += 1
                self._size = 0
                raise
            self._size += len(text)
            self._kept += len(text)
            self._turn.notify_all()

    def bring(self, store: Taker, stop: threading.Event) -> None:
        """Bring the store what is there, the oldest first, until told to stop."""
        while not stop.is_set():
            with self._turn:
                numbers = self._numbers()
                done = self._read_of(self._written) >= self._size
                if not numbers or (numbers == [self._written] and done):
                    self._turn.wait(PAUSE_SECONDS)
                    continue
            try:
                self._bring_some(store, numbers[0])
            except (NotTaken, OSError):
                # The store is away, or the disk has no room to note how far it got.
                stop.wait(PAUSE_SECONDS)

    def _bring_some(self, store: Taker, number: int) -> None:
        start = self._read_of(number)
        with self._file(number).open("rb") as file:
            file.seek(start)
            part = file.read(PART_BYTES)
            if part and not part.endswith(b"\n"):
                part += file.readline()
        # Half a line at the end of a file that nobody writes any more is what a kill left.
        whole = part[: part.rfind(b"\n") + 1]
        if whole:
            store.take(whole)
            self._note(number, start + len(whole))
            return
        with self._turn:
            if number != self._written:
                self._remove(number)

    def _remove(self, number: int) -> None:
        file = self._file(number)
        self._kept -= file.stat().st_size
        file.unlink()

    def _read_of(self, number: int) -> int:
        """Up to where the store has everything of one file."""
        at, start = place(self._folder)
        return start if at == number else 0

    def _note(self, number: int, start: int) -> None:
        unfinished = self._folder / "place.unfinished"
        unfinished.write_text(f"{number} {start}", encoding="ascii")
        unfinished.replace(self._folder / "place")

    def _numbers(self) -> list[int]:
        return sorted(int(file.stem) for file in self._folder.glob("[0-9]*.jsonl"))

    def _file(self, number: int) -> Path:
        return self._folder / f"{number:012d}.jsonl"


def place(folder: Path) -> tuple[int, int]:
    """Up to where the store has everything: a file's number, and bytes of it."""
    try:
        number, start = (folder / "place").read_text(encoding="ascii").split()
        return int(number), int(start)
    except (FileNotFoundError, ValueError):
        return 0, 0


def waiting(folder: Path) -> int:
    """How many bytes wait for the store, seen from outside."""
    number, start = place(folder)
    sizes = {}
    for file in folder.glob("[0-9]*.jsonl"):
        try:
            sizes[int(file.stem)] = file.stat().st_size
        except FileNotFoundError:
            # The store took the last of it meanwhile.
            continue
    return max(0, sum(sizes.values()) - (start if number in sizes else 0))
