"""Vectors of queries: those that wait at the same time are computed together."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextvars import Context
from dataclasses import dataclass, field

import anyio.to_thread
import numpy
from numpy.typing import NDArray

from slipway_backend.embedding import Embedder

# Four queries in one call take 2.4 ms of processor each, one alone 3.5: the model's weights are
# read once for all of them. More than four gain nothing, and whoever came first waits longer
# (docs/decisions/0022-queries-embedded-together.md).
MOST_TOGETHER = 4


@dataclass(eq=False)
class _Waiting:
    """A query whose vector somebody waits for; ``alone`` after a call that failed."""

    embedder: Embedder
    query: str
    vector: asyncio.Future[NDArray[numpy.float32]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    alone: bool = False


class QueryVectors:
    """Embeds queries in threads, with at most ``calls`` to embedders at once (default: the cores).

    Nobody is waited for: a query that finds a call free begins at once. Those that come while all
    calls are taken are embedded together by the next one that ends.
    """

    def __init__(self, *, calls: int | None = None) -> None:
        # More at once would only take turns on the cores, each with memory of its own.
        self._free = calls or os.cpu_count() or 1
        self._limiter = anyio.CapacityLimiter(self._free)
        self._calls: set[asyncio.Task[None]] = set()
        self._waiting: deque[_Waiting] = deque()

    async def embed(self, embedder: Embedder, query: str) -> NDArray[numpy.float32]:
        """Return the query's vector; raise what the embedder raises for it."""
        waiting = _Waiting(embedder, query)
        self._waiting.append(waiting)
        if self._free:
            self._free -= 1
            # Of no request: the one that it begins with may be given up before the others are done.
            call = asyncio.create_task(self._work(), context=Context())
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return await waiting.vector

    async def _work(self) -> None:
        try:
            while together := self._take():
                await self._embed(together)
        finally:
            # Without a pause after the last look, or who comes in it would wait for nobody.
            self._free += 1

    async def _embed(self, together: list[_Waiting]) -> None:
        queries = [waiting.query for waiting in together]
        try:
            vectors = await anyio.to_thread.run_sync(
                together[0].embedder.embed, queries, limiter=self._limiter
            )
            for waiting, vector in zip(together, vectors, strict=True):
                if not waiting.vector.done():
                    waiting.vector.set_result(vector)
        except Exception as error:
            self._fail(together, error)

    def _take(self) -> list[_Waiting]:
        """The next queries for one call; those that nobody waits for any more are left out."""
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < MOST_TOGETHER:
            first = self._waiting[0]
            if not first.vector.done():
                if taken and (first.alone or first.embedder is not taken[0].embedder):
                    break
                taken.append(first)
            self._waiting.popleft()
            if first.alone and taken:
                break
        return taken

    def _fail(self, together: list[_Waiting], error: Exception) -> None:
        """Tell the one that failed; of several, nobody fails for what another asked."""
        if len(together) == 1:
            if not together[0].vector.done():
                together[0].vector.set_exception(error)
            return
        for waiting in reversed(together):
            waiting.alone = True
            self._waiting.appendleft(waiting)
