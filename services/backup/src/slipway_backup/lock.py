"""One at a time, or many who read: locks that go with the process that holds them."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from slipway_backup.errors import Refused

TRIES = 4
TRY_SECONDS = 0.05


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Hold the lock while doing `what`. Raises Refused, saying who holds it, when it is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as handle:
        if not _locked(handle):
            raise Refused(taken(path), "wait until it has ended")
        handle.seek(0)
        handle.truncate()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"what": what, "since": since, "pid": os.getpid()}, handle)
        handle.flush()
        yield


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock beside others who read; waits for whoever has it alone.

    Nothing is held where there is no such file: whoever changes what is read makes it.
    """
    try:
        # For reading, because the repository of another environment cannot be written to.
        handle = path.open(encoding="utf-8")
    except OSError:
        yield
        return
    with handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Hold the lock against all who read; False, and nothing is held, while somebody does."""
    with path.open("a") as handle:
        yield _locked(handle)


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Hold the lock, after waiting for whoever has it: for what takes moments."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _locked(handle: IO[str]) -> bool:
    for attempt in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Whoever only looks whether it is free holds it for that moment.
            if attempt < TRIES - 1:
                time.sleep(TRY_SECONDS)
        else:
            return True
    return False


def taken(path: Path) -> str:
    """Who holds the lock, in a sentence."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "another one is at work"
    return f"another one is at work since {holder['since']}: {holder['what']}"


def since(path: Path) -> datetime | None:
    """When whoever holds the lock took it; None where nobody holds it, or it is not known."""
    if is_free(path):
        return None
    try:
        return datetime.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["since"])
    except (OSError, ValueError, KeyError):
        return None


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock now."""
    if not path.exists():
        return True
    # For reading, because the copy of a repository is looked at where nothing can be written.
    with path.open(encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
