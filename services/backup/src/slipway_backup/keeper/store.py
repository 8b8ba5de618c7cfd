"""What a keeper has: contents by their SHA-256, and the receive log, which only grows.

A content is there before its line is, and a line before anything rests on it: a keeper that is
killed between any two steps has all that it had, and receives the rest again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from slipway_backup.errors import Failed

BLOCK = 1 << 20


@dataclass(frozen=True)
class Line:
    """One line of the receive log: a path had this content from then on, or was gone (empty)."""

    at: datetime
    path: str
    sha256: str
    bytes: int


#: What each path has at a time; those that are gone are not among them.
State = Mapping[str, Line]


class Store:
    """The keeper's own place. Nothing of the landing folder is linked to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._log = root / "received.jsonl"
        self._contents = root / "contents"
        self.versions: dict[str, list[Line]] = {}
        #: When all that was in the landing folder had been received, and was judged good.
        self.good: list[datetime] = []
        self.last: datetime | None = None
        for folder in (self._contents, self.now):
            folder.mkdir(parents=True, exist_ok=True)
        self._read()

    @property
    def now(self) -> Path:
        """The newest state as a folder, for tools that only read: links to our own contents."""
        return self.root / "now"

    def put(self, stream: IO[bytes], size: int, reserve: int) -> str:
        """Take in a content of so many bytes; its SHA-256.

        Raises Failed, with nothing taken, where less than `reserve` bytes would be left.
        """
        if room(self.root) < reserve + size:
            raise Failed("there is no room for more", "give the keeper's disk more")
        unfinished = self.root / "unfinished"
        digest = hashlib.sha256()
        try:
            with unfinished.open("wb") as out:
                for block in blocks(stream, size):
                    digest.update(block)
                    out.write(block)
                out.flush()
                os.fsync(out.fileno())
            name = digest.hexdigest()
            target = self._place(name)
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                unfinished.chmod(0o440)
                unfinished.rename(target)
                sync(target.parent)
                sync(self._contents)
            return name
        finally:
            unfinished.unlink(missing_ok=True)

    def append(self, *lines: Line) -> None:
        """Write lines down, and have the newest state be so."""
        self._write(
            {"at": each.at.isoformat(), "path": each.path}
            | ({"sha256": each.sha256, "bytes": each.bytes} if each.sha256 else {"gone": True})
            for each in lines
        )
        for each in lines:
            self._note(each)
            self._show(each)

    def note_good(self, at: datetime) -> None:
        """Write down that the newest state was judged good."""
        self._write([{"at": at.isoformat(), "good": True}])
        self.good.append(at)

    def state(self, at: datetime | None = None) -> State:
        """What each path has now, or had at a receive time."""
        found = (
            (path, next((each for each in reversed(lines) if at is None or each.at <= at), None))
            for path, lines in self.versions.items()
        )
        return {path: line for path, line in found if line is not None and line.sha256}

    def show(self) -> None:
        """Make the folder of the newest state anew: what a kill left half shown is gone."""
        shutil.rmtree(self.now)
        self.now.mkdir()
        for line in self.state().values():
            self._show(line)

    def lay_out(self, state: State, target: Path) -> int:
        """Copy a state into an empty folder; the bytes. Raises Failed where a content is not so."""
        total = 0
        for path, line in state.items():
            place = target / path
            place.parent.mkdir(parents=True, exist_ok=True)
            digest = hashlib.sha256()
            try:
                with self._place(line.sha256).open("rb") as stream, place.open("wb") as out:
                    for block in blocks(stream, line.bytes):
                        digest.update(block)
                        out.write(block)
            except FileNotFoundError:
                raise Failed(f"the content of {path} of {line.at.isoformat()} is gone") from None
            if digest.hexdigest() != line.sha256:
                raise Failed(
                    f"the content of {path} is not what was received: the keeper's disk is damaged",
                    "take another time: slipway-backup kept",
                )
            total += line.bytes
        return total

    def has(self, sha256: str) -> bool:
        """Whether a content is there."""
        return self._place(sha256).is_file()

    def remove_all_but(self, kept: Collection[str]) -> int:
        """Remove the contents that are not among these; how many bytes went."""
        freed = 0
        for folder in self._contents.iterdir():
            for content in folder.iterdir():
                if content.name not in kept:
                    freed += content.stat().st_size
                    content.unlink()
        return freed

    def _place(self, sha256: str) -> Path:
        return self._contents / sha256[:2] / sha256

    def _show(self, line: Line) -> None:
        shown = self.now / line.path
        shown.unlink(missing_ok=True)
        if not line.sha256:
            for folder in shown.relative_to(self.now).parents[:-1]:
                # Something else may get the name of a folder that is empty.
                with contextlib.suppress(OSError):
                    (self.now / folder).rmdir()
            return
        shown.parent.mkdir(parents=True, exist_ok=True)
        try:
            shown.hardlink_to(self._place(line.sha256))
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            shutil.copyfile(self._place(line.sha256), shown)

    def _note(self, line: Line) -> None:
        self.versions.setdefault(line.path, []).append(line)
        self.last = line.at

    def _read(self) -> None:
        if not self._log.exists():
            self._log.touch(mode=0o640)
            sync(self.root)
        with self._log.open(encoding="utf-8") as stream:
            for text in stream:
                try:
                    told = json.loads(text)
                except ValueError:
                    # Torn when it was written: what it would have told is received again.
                    continue
                at = datetime.fromisoformat(told["at"])
                if told.get("good"):
                    self.good.append(at)
                else:
                    sha256, size = told.get("sha256", ""), told.get("bytes", 0)
                    self._note(Line(at, told["path"], sha256, size))
                self.last = at

    def _write(self, lines: Collection[object] | Iterator[object]) -> None:
        text = "".join(f"{json.dumps(each)}\n" for each in lines)
        with self._log.open("r+b") as stream:
            # A line that was torn takes none after it along.
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                text = ("" if stream.read(1) == b"\n" else "\n") + text
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())


def blocks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """So many bytes of a stream, and not all of it: who adds to a file has no end."""
    while size and (block := stream.read(min(BLOCK, size))):
        yield block
        size -= len(block)


def sum_of(stream: IO[bytes], size: int) -> str:
    """The SHA-256 of so many bytes of a stream."""
    digest = hashlib.sha256()
    for block in blocks(stream, size):
        digest.update(block)
    return digest.hexdigest()


def room(folder: Path) -> int:
    """The bytes that are free on a folder's disk; none where it has no place for one more file."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize if found.f_favail or not found.f_files else 0


def size(folder: Path) -> int:
    """The bytes of a folder's disk."""
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize


def sync(folder: Path) -> None:
    """Have what was renamed in a folder outlive a crash of the machine."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, text: str) -> None:
    """Write a small file whole, or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(path)
    sync(path.parent)
