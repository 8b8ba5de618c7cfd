"""How long each part of the search statement takes, told by PostgreSQL for some of the searches.

A statement cannot time its own parts without changing its plan. So every so many searches, as the
monitoring level says, one is run once more by EXPLAIN (ANALYZE), after its answer, by itself and on
a connection that is idle anyway. In between this costs a counter
(docs/decisions/0013-query-path.md has the figures).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from slipway_backend.database import TRANSIENT, Pool
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Level

# One of so many searches; 0: none.
EVERY: Mapping[Level, int] = {"minimal": 0, "standard": 200, "full": 20}
STAGES = {"CTE by_text": "search_text", "CTE by_vector": "search_vector"}


class StageSampler:
    """Takes every so manyth search statement and observes the seconds of its stages."""

    def __init__(self, pool: Pool, metrics: Metrics) -> None:
        self._pool = pool
        self._metrics = metrics
        self._every = EVERY[metrics.level]
        # The first search is not one of them: a new process still reads everything from disk.
        self._seen = 0
        self._running: asyncio.Task[None] | None = None

    def offer(self, statement: str, values: Mapping[str, Any]) -> None:
        """Count a search that has been answered, and take it if it is its turn."""
        if not self._every:
            return
        self._seen += 1
        if self._seen % self._every or self._running is not None or not self._idle():
            return
        self._running = asyncio.create_task(self._sample(statement, values))
        self._running.add_done_callback(self._ended)

    async def finish(self) -> None:
        """Wait for the sample that is being taken, if there is one."""
        if self._running is not None:
            await asyncio.wait([self._running])

    def _idle(self) -> bool:
        return not self._pool.get_stats().get("requests_waiting", 0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled() and task.exception() is not None:
            get_logger().warning("stages_not_sampled", cause=type(task.exception()).__name__)

    async def _sample(self, statement: str, values: Mapping[str, Any]) -> None:
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    f"EXPLAIN (ANALYZE, TIMING ON, FORMAT JSON) {statement}", values, prepare=False
                )
                row = await cursor.fetchone()
        except TRANSIENT:
            return
        if row is not None:
            for stage, seconds in stages_of(row["QUERY PLAN"][0]).items():
                self._metrics.stage_took(stage, seconds)


def stages_of(explained: Mapping[str, Any]) -> dict[str, float]:
    """The seconds by stage in what EXPLAIN (ANALYZE, FORMAT JSON) said of a search statement.

    ``fuse`` is what the statement's execution took beside its halves: their fusion and reading the
    passages. A half that was not asked for has no stage.
    """
    found = {}
    for node in _nodes(explained["Plan"]):
        stage = STAGES.get(node.get("Subplan Name", ""))
        if stage is not None:
            found[stage] = float(node["Actual Total Time"]) * node["Actual Loops"] / 1000
    whole = float(explained["Execution Time"]) / 1000
    return {**found, "fuse": max(whole - sum(found.values()), 0.0)}


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)
