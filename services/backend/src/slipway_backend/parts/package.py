"""What the backup service took out of a point, as it arrives: a head, rows, files, and an end."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from slipway_backend.errors import StartRefused
from slipway_backend.files import FileStore

FORMAT = 1
HEAD = "part.json"
END = "end.json"
BLOCK = 1 << 20


class Package:
    """A part of a point in a file of this service's own."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self._entries = {entry.name: entry for entry in tar.getmembers()}
        end = self._json(END)
        if len(self._entries) != end.get("entries", -3) + 2:
            raise StartRefused("What arrived was cut short: nothing was changed. Try again.")
        self.head = self._json(HEAD)
        if self.head.get("format") != FORMAT:
            raise StartRefused(
                "What arrived is of another release's format: release this environment first."
            )

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a table that belong to the part."""
        yield from self._lines(f"rows/{table}.jsonl")

    def faces(self, table: str) -> list[dict[str, Any]]:
        """What is told of the rows of a table that the part refers to."""
        return list(self._lines(f"faces/{table}.jsonl"))

    @property
    def contents(self) -> frozenset[str]:
        """The SHA-256 of every file."""
        return frozenset(
            name.removeprefix("files/") for name in self._entries if name.startswith("files/")
        )

    def keep(self, files: FileStore, sha256: str) -> None:
        """Put a file into the store; raise StartRefused when it is not what its name says."""
        entry = self._entries[f"files/{sha256}"]
        incoming = files.receive(entry.size)
        try:
            source = self._tar.extractfile(entry)
            assert source is not None
            while block := source.read(BLOCK):
                incoming.write(block)
            if incoming.sha256 != sha256:
                raise StartRefused(f"The file {sha256} of the point has other content.")
            incoming.sync()
            files.keep(incoming)
        finally:
            incoming.discard()

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        if name not in self._entries:
            return
        source = self._tar.extractfile(self._entries[name])
        assert source is not None
        for line in source:
            yield json.loads(line)

    def _json(self, name: str) -> dict[str, Any]:
        return next(self._lines(name), {})


def path_of(files: FileStore, name: str) -> Path:
    """Where a package is; the sweep removes what nobody came back for after an hour."""
    return files.directory / "incoming" / f"part-{name}"


def receive(files: FileStore, name: str, stream: IO[bytes]) -> Path:
    """Write what comes to a file of its own, which is there only when all of it came."""
    files.prepare()
    target = path_of(files, name)
    unfinished = target.with_name(f"{target.name}.unfinished")
    try:
        with unfinished.open("wb") as out:
            os.fchmod(out.fileno(), 0o600)
            shutil.copyfileobj(stream, out, BLOCK)
            out.flush()
            os.fsync(out.fileno())
        with _opened(unfinished):
            unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return target


@contextmanager
def opened(files: FileStore, name: str) -> Iterator[Package]:
    """A package that was received; raises StartRefused when there is none."""
    path = path_of(files, name)
    if not path.is_file():
        raise StartRefused("What was taken out of the point is not here any more. Begin again.")
    with _opened(path) as package:
        yield package


def discard(files: FileStore, name: str) -> None:
    """Remove a package; one that is not there counts as removed."""
    path_of(files, name).unlink(missing_ok=True)


@contextmanager
def _opened(path: Path) -> Iterator[Package]:
    try:
        with tarfile.open(path, "r:") as tar:
            yield Package(tar)
    except tarfile.TarError:
        raise StartRefused("What arrived was cut short: nothing was changed. Try again.") from None
