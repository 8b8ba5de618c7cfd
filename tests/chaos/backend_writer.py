"""A user who writes through the edge, one request after the other, and notes when one succeeds."""

from __future__ import annotations

import threading
import time
import uuid
from itertools import pairwise

import httpx
from tier_rig import DataTier

PAUSE_SECONDS = 0.1


class BackendWriter:
    """Writes from a thread while it is used as a context manager."""

    def __init__(self, tier: DataTier) -> None:
        self._client = tier.client()
        self._times: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> BackendWriter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def count(self) -> int:
        """How many writes have succeeded."""
        return len(self._times)

    def longest_gap(self) -> float:
        """The longest time between two writes that succeeded, or since the last one, in seconds."""
        return max(later - earlier for earlier, later in pairwise([*self._times, time.monotonic()]))

    def _write(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            try:
                made = self._client.post("/v1/collections", json={"name": uuid.uuid4().hex})
            except httpx.TransportError:
                continue
            if made.is_success:
                self._times.append(time.monotonic())
