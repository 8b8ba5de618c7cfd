"""Receive time: when something came, by a clock that no step of the host's clock moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: A host whose clock is set more than this is told of.
TOLERANCE = timedelta(minutes=2)


def running() -> float:
    """Seconds that the machine has run, those that it slept among them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall() -> datetime:
    """What the host's clock says."""
    return datetime.now(UTC)


class Clock:
    """Begins at the host's time, but never before what was received last, and runs by itself."""

    def __init__(
        self,
        last: datetime | None,
        said: Callable[[], datetime] = wall,
        ran: Callable[[], float] = running,
    ) -> None:
        self._said, self._ran = said, ran
        self._began = max(said(), last or said())
        self._ran_then = ran()

    def now(self) -> datetime:
        """This moment."""
        return self._began + timedelta(seconds=self._ran() - self._ran_then)

    def step(self) -> timedelta:
        """How far the host's clock was set since, forward or back; nothing within the tolerance."""
        found = self._said() - self.now()
        return found if abs(found) > TOLERANCE else timedelta()
