"""What was done and how it ended: one line of JSON each, which outlives any start."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway_backup.settings import Settings

#: More lines than this are of no use to anybody.
KEPT = 5000
#: What could not be written yet, by its file: this process goes by it, and writes it with the next.
_WAITING: dict[Path, list[dict[str, Any]]] = {}
_ALONE = threading.Lock()


def path(settings: Settings) -> Path:
    """Where the lines are."""
    return settings.work_directory / "history.jsonl"


def append(settings: Settings, kind: str, **fields: Any) -> dict[str, Any]:
    """Add a line. One that cannot be written is no reason to fail: the work itself is done."""
    line = {"kind": kind, "at": now().isoformat(timespec="seconds"), **fields}
    target = path(settings)
    with _ALONE:
        waiting = _WAITING.setdefault(target, [])
        waiting.append(line)
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, [json.dumps(each, sort_keys=True) for each in waiting])
            waiting.clear()
    return line


def _write(target: Path, lines: Sequence[str]) -> None:
    with target.open("a+b") as stream:
        if os.geteuid() == 0:
            # A restore is root; whose folder it is goes on writing here.
            owner = target.parent.stat()
            os.fchown(stream.fileno(), owner.st_uid, owner.st_gid)
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
        # A line that was torn takes none after it along.
        torn = b"\n" if stream.read(1) not in {b"", b"\n"} else b""
        stream.write(torn + "".join(f"{line}\n" for line in lines).encode())
        stream.flush()
        os.fsync(stream.fileno())


def read(settings: Settings, *kinds: str) -> list[dict[str, Any]]:
    """The lines of these kinds, the oldest first; a torn one is passed over."""
    try:
        lines = path(settings).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    found: list[dict[str, Any]] = []
    for line in lines[-KEPT:]:
        try:
            each = json.loads(line)
        except ValueError:
            continue
        if isinstance(each, dict):
            found.append(each)
    found += _WAITING.get(path(settings), [])
    return [each for each in found if not kinds or each.get("kind") in kinds]


def gap(lines: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Where a part of the log was lost and no point was taken since: the line that says so."""
    told = [each for each in lines if each["kind"] == "gap" or _took(each)]
    return told[-1] if told and told[-1]["kind"] == "gap" else None


def _took(line: Mapping[str, Any]) -> bool:
    return bool(line["kind"] == "run" and line.get("ok"))


def last(settings: Settings, kind: str, **wanted: Any) -> dict[str, Any] | None:
    """The newest line of a kind with these members."""
    lines = [each for each in read(settings, kind) if wanted.items() <= each.items()]
    return lines[-1] if lines else None


def time(line: Mapping[str, Any] | None) -> datetime | None:
    """When a line was written."""
    return datetime.fromisoformat(line["at"]) if line else None


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
