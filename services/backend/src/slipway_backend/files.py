"""The content-addressed file store: a file's name is the SHA-256 of its bytes.

A file is written beside its final place, synced, and renamed, so it is either there whole or not.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path


class FileTooLarge(Exception):
    """More bytes arrived than the store was told to accept."""


class IncomingFile:
    """One upload on its way into the store. Close it with ``keep`` or ``discard``."""

    def __init__(self, directory: Path, limit: int) -> None:
        descriptor, name = tempfile.mkstemp(prefix="upload-", dir=directory)
        self._stream = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self._limit = limit
        self.path = Path(name)
        self.bytes = 0

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of what was written so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes; raise FileTooLarge when the limit is passed."""
        self.bytes += len(data)
        if self.bytes > self._limit:
            raise FileTooLarge
        self._digest.update(data)
        self._stream.write(data)

    def sync(self) -> None:
        """Make sure that the bytes are on disk."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()

    def discard(self) -> None:
        """Forget the upload; does nothing after it was kept."""
        # Closing writes what is buffered, which fails where the disk is full.
        with contextlib.suppress(OSError):
            self._stream.close()
        self.path.unlink(missing_ok=True)


class FileStore:
    """Files by SHA-256 below one folder."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._incoming = directory / "incoming"

    def prepare(self) -> None:
        """Make the folders; raises OSError when the place is not writable."""
        self._incoming.mkdir(parents=True, exist_ok=True)

    def receive(self, limit: int) -> IncomingFile:
        """Start receiving a file of at most ``limit`` bytes."""
        return IncomingFile(self._incoming, limit)

    def path(self, sha256: str) -> Path:
        """Where the file with this content is, or would be."""
        return self.directory / sha256[:2] / sha256

    def keep(self, incoming: IncomingFile) -> Path:
        """Move a synced upload to its place; the same content twice is stored once."""
        target = self.path(incoming.sha256)
        try:
            target.parent.mkdir()
        except FileExistsError:
            pass
        else:
            _sync_folder(self.directory)
        incoming.path.replace(target)
        _sync_folder(target.parent)
        return target

    def remove(self, sha256: str) -> None:
        """Remove a file; one that is not there counts as removed."""
        # Its folder stays: an upload may be about to move a file there.
        self.path(sha256).unlink(missing_ok=True)

    def kept_before(self, moment: float) -> list[str]:
        """Return the SHA-256 of every file written before a moment (seconds since the epoch)."""
        return [path.name for path in self.directory.glob("??/*") if _is_older(path, moment)]

    def forget_uploads_before(self, moment: float) -> int:
        """Remove uploads that ended without an end before a moment; return how many."""
        left = [path for path in self._incoming.iterdir() if _is_older(path, moment)]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _is_older(path: Path, moment: float) -> bool:
    try:
        return path.stat().st_mtime < moment
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
