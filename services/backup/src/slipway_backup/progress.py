"""How far a long work is, as lines of JSON on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

Progress = Callable[[float, str], None]
# More lines than this tell a person nothing.
SECONDS_BETWEEN = 0.5


def to_stderr() -> Progress:
    """Tell standard error, with an estimate of what is left."""
    began = time.monotonic()
    last = 0.0
    shown = ""

    def tell(share: float, what: str) -> None:
        nonlocal last, shown
        now = time.monotonic()
        if what == shown and now - last < SECONDS_BETWEEN:
            return
        last, shown = now, what
        line = {
            "progress": round(min(max(share, 0.0), 1.0), 3),
            "what": what,
            "eta_seconds": estimate(share, now - began),
        }
        print(json.dumps(line), file=sys.stderr, flush=True)

    return tell


def silent(_share: float, _what: str) -> None:
    """Tell nobody."""


def part(progress: Progress, begin: float, end: float) -> Progress:
    """The progress of one part of a work, which is from `begin` to `end` of the whole."""
    return lambda share, what: progress(begin + (end - begin) * share, what)


def estimate(share: float, seconds: float) -> int | None:
    """Seconds that are left when so much of the work took so many; None while nothing is known."""
    return round(seconds * (1 - share) / share) if share > 0.02 else None
