"""Files that are either the old or the new content, whatever is killed when."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Denied(Exception):
    """The state does not allow what was asked for; `details` says why, for a program."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one lock of a state folder; the kernel frees it when the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write(path: Path, data: bytes, *, mode: int = 0o600, owner: int | None = None) -> bool:
    """Replace the content of `path` atomically and durably; false when it was already there."""
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        if owner is not None:
            os.fchown(stream.fileno(), owner, owner)
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
    return True


def append_line(path: Path, value: Any) -> None:
    """Append `value` as one line of canonical JSON, durably."""
    with path.open("ab") as stream:
        stream.write(canonical(value) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    sync_folder(path.parent)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of `path`; a last line that a crash cut short is left out."""
    if not path.is_file():
        return []
    complete = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in complete.splitlines() if line]


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in `path`, or None where there is no such file."""
    if not path.is_file():
        return None
    value = json.loads(path.read_bytes())
    assert isinstance(value, dict)
    return value


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: the same value is always the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sync_folder(folder: Path) -> None:
    """Make a rename or a new file in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
