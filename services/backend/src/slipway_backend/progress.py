"""How far a document is: kept in its row for everybody who asks, without a write per step."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from slipway_backend import versions
from slipway_backend.database import Pool
from slipway_backend.metrics import Metrics
from slipway_backend.versions import Version

Stage = Literal["parse", "chunk", "embed", "store"]
WRITE_SECONDS = 0.5
MOST_SKIPPED = 50


class Progress:
    """Tells of one version in work; every write also finds out whether it is still wanted."""

    def __init__(self, pool: Pool, version: Version, metrics: Metrics) -> None:
        self._pool = pool
        self._version = version
        self._metrics = metrics
        self._stage: Stage = "parse"
        self._seconds: dict[str, float] = {}
        self._figures: dict[str, int] = {}
        self._skipped: list[str] = []
        self._written = time.monotonic()

    def figures(self) -> dict[str, Any]:
        """What is known so far: pages, chunks done and in total, seconds per stage."""
        skipped = {"skipped": self._skipped} if self._skipped else {}
        return {**self._figures, **skipped, "seconds": dict(self._seconds)}

    @asynccontextmanager
    async def stage(self, stage: Stage) -> AsyncIterator[None]:
        """Time a stage and tell of its beginning; raise Superseded when nobody wants it."""
        self._stage = stage
        await self._write()
        started = time.monotonic()
        with self._metrics.stage(stage):
            yield
        self._seconds[stage] = round(time.monotonic() - started, 4)

    def found(self, *, pages: int | None, chunks: int, skipped: Sequence[str] = ()) -> None:
        """Remember what parsing and chunking made, and what of an archive they could not read."""
        self._figures = {"chunks_done": 0, "chunks_total": chunks}
        self._skipped = list(skipped[:MOST_SKIPPED])
        if pages is not None:
            self._figures["pages"] = pages

    def leave_out(self, chunks: int) -> None:
        """Count passages that are to be embedded no more, some of which may have been."""
        total = self._figures["chunks_total"] - chunks
        done = min(self._figures["chunks_done"], total)
        self._figures |= {"chunks_done": done, "chunks_total": total}

    async def embedded(self, chunks: int) -> None:
        """Count passages as embedded; raise Superseded when nobody wants them any more."""
        self._figures["chunks_done"] += chunks
        if time.monotonic() - self._written >= WRITE_SECONDS:
            await self._write()

    async def _write(self) -> None:
        self._written = time.monotonic()
        async with self._pool.connection() as connection:
            await versions.tell(connection, self._version, self._stage, self.figures())
