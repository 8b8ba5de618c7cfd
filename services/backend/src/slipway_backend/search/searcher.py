"""Finding passages for a query."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from slipway_backend import audit
from slipway_backend.access import Identity
from slipway_backend.database import Connection, Pool
from slipway_backend.embedding_sets import Serving
from slipway_backend.filters import EVERYTHING, Filters
from slipway_backend.halfvec import HalfVector
from slipway_backend.metrics import Metrics
from slipway_backend.replicas import Reads
from slipway_backend.search.passage import Passage
from slipway_backend.search.plan import LANGUAGES_IN_USE, make_plan
from slipway_backend.search.query_vectors import QueryVectors
from slipway_backend.search.rerank import MOST_PASSAGES, Reranker
from slipway_backend.search.sampling import StageSampler
from slipway_backend.search.statement import Mode, search_statement
from slipway_backend.search.statistics import CachedStatistics

# What language a text is in is not asked: a word counts as any language in use would stem it.
STEMS = f"""
WITH RECURSIVE {LANGUAGES_IN_USE}
SELECT array_agg(DISTINCT stem) FILTER (WHERE stem IS NOT NULL) AS stems
FROM unnest(%s::text[]) WITH ORDINALITY AS given (text, place)
CROSS JOIN in_use
LEFT JOIN LATERAL unnest(to_tsvector(in_use.language, text)) AS stemmed (stem, positions, weights)
    ON true
GROUP BY place
ORDER BY place
"""  # nosec B608


@dataclass(frozen=True)
class Found:
    """What a search found, best first, and the seconds that each stage took.

    ``reranked`` tells whether a reranker ordered it; otherwise it is the fused order.
    """

    passages: list[Passage]
    seconds: dict[str, float] = field(default_factory=dict)
    reranked: bool = False


class Searcher:
    """Finds passages for a query."""

    def __init__(
        self,
        pool: Pool,
        sets: Serving,
        metrics: Metrics,
        *,
        reads: Reads | None = None,
        reranker: Reranker | None = None,
        sampler: StageSampler | None = None,
    ) -> None:
        """``reads`` gives connections that may be to replicas; ``reranker`` has the last word.

        ``sampler`` is shown every search that was answered.
        """
        self._pool = pool
        self._reads = reads
        self._reranker = reranker if reranker is not None and reranker.configured else None
        self._sets = sets
        self._metrics = metrics
        self._statistics = CachedStatistics(pool)
        self._sampler = sampler
        self._query_vectors = QueryVectors()

    async def search(
        self,
        query: str,
        *,
        identity: Identity,
        filters: Filters = EVERYTHING,
        limit: int = 10,
    ) -> list[Passage]:
        """Return the best passages for a query, best first."""
        found = await self.find(query, identity=identity, filters=filters, limit=limit)
        return found.passages

    async def find(
        self,
        query: str,
        *,
        identity: Identity,
        filters: Filters = EVERYTHING,
        limit: int = 10,
        mode: Mode = "hybrid",
    ) -> Found:
        """Return the best passages by one or both halves, best first, with timings."""
        # PostgreSQL's text holds no NUL.
        query = query.replace("\x00", " ")
        seconds: dict[str, float] = {}
        # Asked for once: another set may be served before this search has ended.
        serving = await self._sets.serving()
        reranker = self._reranker if mode == "hybrid" else None
        wanted = max(limit, MOST_PASSAGES) if reranker else limit
        with _Timed(self._metrics, "embed_query", seconds):
            vector = await self._query_vectors.embed(serving.embedder, query)
        statistics = await self._statistics.get()
        # One connection for both statements, and none while an embedding server is waited for.
        async with self._connection(identity) as connection:
            with _Timed(self._metrics, "plan_search", seconds):
                plan = await make_plan(
                    connection,
                    query,
                    identity=identity,
                    filters=filters,
                    serving=serving,
                    statistics=statistics,
                    mode=mode,
                    limit=wanted,
                )
            if plan.hopeless:
                return Found([], seconds)
            statement = search_statement(plan.shape)
            values = {**plan.values, "vector": HalfVector(vector)}
            with _Timed(self._metrics, "search", seconds):
                cursor = await connection.execute(statement, values)
                passages = [Passage(**row) for row in await cursor.fetchall()]
        if self._sampler is not None:
            self._sampler.offer(statement, values)
        self._metrics.searches.labels(plan.shape.route).inc()
        reranked = False
        if reranker is not None:
            with _Timed(self._metrics, "rerank", seconds):
                ordered = await reranker.rerank(query, passages, limit=limit)
            reranked = ordered is not None
            passages = passages[:limit] if ordered is None else ordered
        audit.note(
            collections=sorted({passage.collection for passage in passages}),
            documents=sorted({str(passage.document_id) for passage in passages}),
        )
        return Found(passages, seconds, reranked=reranked)

    def _connection(self, identity: Identity) -> AbstractAsyncContextManager[Connection]:
        return self._reads.connection(identity) if self._reads else self._pool.connection()

    async def stems(self, texts: list[str]) -> list[frozenset[str]]:
        """Return the words of each text as full-text search compares them, in the order given."""
        values = [[text.replace("\x00", " ") for text in texts]]
        with self._metrics.stage("stems"):
            async with self._pool.connection() as connection:
                cursor = await connection.execute(STEMS, values)
                return [frozenset(row["stems"] or ()) for row in await cursor.fetchall()]


class _Timed:
    """Counts a stage's seconds in the metrics and for the answer."""

    def __init__(
        self,
        metrics: Metrics,
        stage: str,
        seconds: dict[str, float],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._metrics = metrics
        self._stage = stage
        self._seconds = seconds
        self._clock = clock

    def __enter__(self) -> None:
        self._started = self._clock()

    def __exit__(self, *raised: object) -> None:
        passed = self._clock() - self._started
        self._metrics.stage_took(self._stage, passed)
        self._seconds[self._stage] = passed
