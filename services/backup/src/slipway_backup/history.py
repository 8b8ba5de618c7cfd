"""What was done and how it ended: one line of JSON each, which outlives any start."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slipway_backup.settings import Settings

#: More lines than this are of no use to anybody.
KEPT = 5000


def path(settings: Settings) -> Path:
    """Where the lines are."""
    return settings.work_directory / "history.jsonl"


def append(settings: Settings, kind: str, **fields: Any) -> dict[str, Any]:
    """Add a line. One that cannot be written is no reason to fail: the work itself is done."""
    line = {"kind": kind, "at": now().isoformat(timespec="seconds"), **fields}
    try:
        target = path(settings)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("ab") as stream:
            stream.write(json.dumps(line, sort_keys=True).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError:
        return line
    return line


def read(settings: Settings, *kinds: str) -> list[dict[str, Any]]:
    """The lines of these kinds, the oldest first; a torn one is passed over."""
    try:
        lines = path(settings).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for line in lines[-KEPT:]:
        try:
            each = json.loads(line)
        except ValueError:
            continue
        if isinstance(each, dict) and (not kinds or each.get("kind") in kinds):
            found.append(each)
    return found


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
