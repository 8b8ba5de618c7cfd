"""Who may look: whoever knows the console's password, for half a day."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable

SECONDS = 12 * 3600
#: Wrong passwords within a minute after which nobody is let in: a person types no faster.
TRIES = 10
WINDOW_SECONDS = 60.0


class Throttled(Exception):
    """Too many wrong passwords; try again in a minute."""


class Door:
    """The console's password, and how often somebody who did not know it has tried."""

    def __init__(self, password: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._password = password.encode()
        self._clock = clock
        self._wrong: deque[float] = deque(maxlen=TRIES)

    @property
    def key(self) -> str:
        """What sessions are signed with: another password ends them all."""
        return hmac.new(self._password, b"sessions of the console", hashlib.sha256).hexdigest()

    def opens(self, password: str) -> bool:
        """Whether this is the password. Raises Throttled after too many that were not."""
        now = self._clock()
        full = len(self._wrong) == TRIES
        if full and now - self._wrong[0] < WINDOW_SECONDS:
            raise Throttled
        if hmac.compare_digest(password.encode(), self._password):
            return True
        self._wrong.append(now)
        return False
