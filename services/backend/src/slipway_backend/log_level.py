"""Another log level for a while: asked for by a command in the container, it ends by itself.

What is asked for is a file of the container's own, which a new one does not have.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

LEVELS = ("debug", "info", "warning", "error")
ASKED = Path(tempfile.gettempdir()) / "slipway-log-level.json"
LOOK_SECONDS = 1.0
MOST_MINUTES = 24 * 60


def wanted(configured: str, asked: str, now: float) -> tuple[str, float | None]:
    """The level that counts now, and until when (seconds since 1970); None where it is for good.

    `asked` is what the file holds. What cannot be read, or is over, asks for nothing.
    """
    try:
        told = json.loads(asked)
        level, until = str(told["level"]), float(told["until"])
    except (ValueError, KeyError, TypeError):
        return configured, None
    return (level, until) if level in LEVELS and now < until else (configured, None)


def ask(path: Path, level: str, minutes: int) -> None:
    """Have this container's process write at a level for some minutes."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"level": level, "until": time.time() + 60 * minutes}))
    beside.replace(path)


def follow(path: Path, configured: str, take: Callable[[str], None]) -> None:
    """From now on tell `take` each level that counts in place of the one before."""

    def look() -> None:
        level = configured
        while True:
            time.sleep(LOOK_SECONDS)
            found, _ = wanted(configured, _read(path), time.time())
            if found != level:
                take(found)
                level = found

    threading.Thread(target=look, name="log-level", daemon=True).start()


def run(configured: str, level: str | None, minutes: int) -> int:
    """Ask for a level where one is given; say what counts. Returns the exit code."""
    if level:
        ask(ASKED, level, minutes)
    found, until = wanted(configured, _read(ASKED), time.time())
    moment = until and datetime.fromtimestamp(until, UTC).isoformat(timespec="seconds")
    sys.stdout.write(json.dumps({"level": found, "until": moment, "after": configured}) + "\n")
    return 0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
