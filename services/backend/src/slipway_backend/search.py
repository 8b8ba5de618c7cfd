"""Hybrid search: full text and vectors in one statement, fused by reciprocal rank."""

from __future__ import annotations

import os
from dataclasses import dataclass
from uuid import UUID

import anyio
import anyio.to_thread
import numpy
from numpy.typing import NDArray

from slipway_backend.access import READABLE, Identity
from slipway_backend.database import Pool
from slipway_backend.documents import vector_literal
from slipway_backend.embedding import Embedder
from slipway_backend.embedding_sets import Serving
from slipway_backend.filters import EVERYTHING, Filters
from slipway_backend.metrics import Metrics

CANDIDATES = 60
# The constant of reciprocal rank fusion as published; larger values flatten the ranks.
RANK_CONSTANT = 60

# A question holds words that its answer does not, so its words are joined by OR. A query with an
# exclusion stays as it is: "OR NOT word" would find nearly everything.
_STATEMENT = f"""
WITH asked AS MATERIALIZED (
    SELECT every_word, CASE
        WHEN every_word::text LIKE '%%!%%' THEN every_word
        ELSE replace(every_word::text, ' & ', ' | ')::tsquery
    END AS any_word
    FROM websearch_to_tsquery('english', %(query)s) AS every_word
),
by_text AS (
    SELECT id, row_number() OVER (ORDER BY relevance DESC, id) AS place
    FROM (
        SELECT chunks.id, ts_rank_cd(chunks.lexemes, asked.any_word, 1) AS relevance
        FROM chunks, asked
        WHERE chunks.lexemes @@ asked.any_word AND chunks.embedding_set_id = {{set}}
            AND chunks.collection_id = {READABLE}
        ORDER BY relevance DESC, chunks.id
        LIMIT %(candidates)s
    ) AS found
),
by_vector AS (
    SELECT id, row_number() OVER (ORDER BY distance, id) AS place
    FROM (
        SELECT id,
            embedding::halfvec({{dimension}}) <=> %(vector)s::halfvec({{dimension}}) AS distance
        FROM chunks
        WHERE embedding_set_id = {{set}} AND collection_id = {READABLE}
        ORDER BY embedding::halfvec({{dimension}}) <=> %(vector)s::halfvec({{dimension}})
        LIMIT %(candidates)s
    ) AS found
),
fused AS (
    SELECT id,
        coalesce(1.0 / (%(constant)s + by_text.place), 0)
        + coalesce(1.0 / (%(constant)s + by_vector.place), 0) AS score
    FROM by_text FULL JOIN by_vector USING (id)
    ORDER BY score DESC, id
    LIMIT %(limit)s
)
SELECT documents.id AS document_id, documents.filename, chunks.id AS chunk_id, chunks.page,
    chunks.heading, chunks.text, fused.score::float8 AS score,
    1 - (chunks.embedding <=> %(vector)s::halfvec) AS similarity,
    chunks.lexemes @@ asked.every_word AS has_every_word
FROM fused
JOIN chunks USING (id)
JOIN documents ON documents.id = chunks.document_id
CROSS JOIN asked
ORDER BY fused.score DESC, chunks.id
"""  # nosec B608


def statement(embedding_set: int, dimension: int) -> str:
    """The search in one set: a plan that may be reused proves an index by literals only."""
    return _STATEMENT.format(set=f"{embedding_set:d}", dimension=f"{dimension:d}")


STEMS = """
SELECT tsvector_to_array(to_tsvector('english', text)) AS stems
FROM unnest(%s::text[]) WITH ORDINALITY AS given (text, place)
ORDER BY place
"""


@dataclass(frozen=True)
class Passage:
    """One passage that was found.

    ``score`` is the fused rank score, ``similarity`` the cosine to the query (-1 to 1).
    """

    document_id: UUID
    filename: str
    chunk_id: int
    page: int | None
    heading: str
    text: str
    score: float
    similarity: float
    has_every_word: bool


class Searcher:
    """Finds passages for a query."""

    def __init__(self, pool: Pool, sets: Serving, metrics: Metrics) -> None:
        self._pool = pool
        self._sets = sets
        self._metrics = metrics
        # More at once would only take turns on the cores, each with memory of its own.
        self._limiter = anyio.CapacityLimiter(os.cpu_count() or 1)

    async def search(
        self,
        query: str,
        *,
        identity: Identity,
        filters: Filters = EVERYTHING,  # noqa: ARG002
        limit: int = 10,
    ) -> list[Passage]:
        """Return the best passages for a query, best first."""
        # PostgreSQL's text holds no NUL.
        query = query.replace("\x00", " ")
        # Asked for once: another set may be served before this search has ended.
        embedding_set = await self._sets.serving()
        values = {
            "query": query,
            "vector": vector_literal(await self._embed(embedding_set.embedder, query)),
            "candidates": max(CANDIDATES, limit),
            "constant": RANK_CONSTANT,
            "limit": limit,
            **identity.parameters(),
        }
        with self._metrics.stage_seconds.labels("search").time():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    statement(embedding_set.id, embedding_set.dimension).encode(), values
                )
                return [Passage(**row) for row in await cursor.fetchall()]

    async def stems(self, texts: list[str]) -> list[frozenset[str]]:
        """Return the words of each text as full-text search compares them, in the order given."""
        values = [[text.replace("\x00", " ") for text in texts]]
        with self._metrics.stage_seconds.labels("stems").time():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(STEMS, values)
                return [frozenset(row["stems"]) for row in await cursor.fetchall()]

    async def _embed(self, embedder: Embedder, query: str) -> NDArray[numpy.float32]:
        """Return the query's vector without blocking the event loop."""
        with self._metrics.stage_seconds.labels("embed_query").time():
            vectors = await anyio.to_thread.run_sync(embedder.embed, [query], limiter=self._limiter)
        vector: NDArray[numpy.float32] = vectors[0]
        return vector
