"""Whether a set's vector index still finds what exact search finds, and how it is made anew.

pgvector before 0.8.3 can damage an HNSW index while it vacuums; nothing else tells of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from slipway_backend.database import Connection, Pool
from slipway_backend.embedding_sets.stored import index_name

SAMPLES = 20
NEAREST = 10
LEAST_SAMPLES = 3
MOST_VECTORS = 10_000_000
# Below this an index is worth making anew; the target of a healthy one is 0.97.
LEAST_RECALL = 0.9

# A sampled passage asks for its own neighbours. Random ids instead of TABLESAMPLE: a set may be a
# small part of the table. "+ 0" keeps the exact half off the index.
RECALL = """
WITH bounds AS (
    SELECT min(id) AS least, max(id) AS most FROM chunks WHERE embedding_set_id = {set}
),
sampled AS MATERIALIZED (
    SELECT DISTINCT ON (picked.id) picked.id, picked.embedding
    FROM bounds, generate_series(1, %(samples)s) AS number
    CROSS JOIN LATERAL (
        SELECT least + floor(random() * (most - least + 1))::bigint AS start
        WHERE number IS NOT NULL
    ) AS random_start
    CROSS JOIN LATERAL (
        SELECT id, embedding FROM chunks
        WHERE id >= random_start.start AND embedding_set_id + 0 = {set}
        ORDER BY id LIMIT 1
    ) AS picked
)
SELECT count(*) AS samples, coalesce(avg(found.share), 1)::float8 AS recall
FROM sampled
CROSS JOIN LATERAL (
    SELECT avg((indexed.distance <= exact.farthest)::integer) * count(*) / exact.many AS share
    FROM (
        SELECT max(distance) + 1e-6 AS farthest, count(*) AS many FROM (
            SELECT (embedding::halfvec({dimension}) <=> sampled.embedding::halfvec({dimension}))
                + 0 AS distance
            FROM chunks WHERE embedding_set_id = {set}
            ORDER BY 1 LIMIT %(nearest)s
        ) AS nearest
    ) AS exact, (
        SELECT embedding::halfvec({dimension}) <=> sampled.embedding::halfvec({dimension})
            AS distance
        FROM chunks WHERE embedding_set_id = {set}
        ORDER BY embedding::halfvec({dimension}) <=> sampled.embedding::halfvec({dimension})
        LIMIT %(nearest)s
    ) AS indexed
    GROUP BY exact.many
) AS found
"""


@dataclass(frozen=True)
class IndexHealth:
    """How much of what exact search finds an index found, 0 to 1, over so many samples."""

    recall: float
    samples: int

    @property
    def healthy(self) -> bool:
        """Whether the index can stay as it is; one over nothing can."""
        return self.recall >= LEAST_RECALL


async def measure_recall(
    connection: Connection, set_id: int, dimension: int, *, samples: int = SAMPLES
) -> IndexHealth:
    """Compare the set's index with exact search for sampled passages: recall@10.

    Reads every vector of the set once per sample: about 1 ms per thousand passages and sample.
    """
    statement = RECALL.replace("{set}", str(int(set_id))).replace(
        "{dimension}", str(int(dimension))
    )
    async with connection.transaction():
        # Over few passages a plan would sort them all, and tell nothing of the index.
        await connection.execute("SET LOCAL enable_sort = off")
        values = {"samples": samples, "nearest": NEAREST}
        cursor = await connection.execute(statement.encode(), values)
        row = await cursor.fetchone()
        await connection.execute("SET LOCAL enable_sort = on")
    if row is None:
        raise LookupError("an aggregate always gives a row")
    return IndexHealth(row["recall"], row["samples"])


async def check_serving(pool: Pool) -> IndexHealth | None:
    """Measure the index of the set that is served; None without one, or while another does.

    Over so few samples that at most MOST_VECTORS are read, which takes about ten seconds.
    """
    async with pool.connection() as connection, connection.transaction():
        cursor = await connection.execute(
            "SELECT embedding_sets.id, dimension, greatest(reltuples, 1)::float8 AS chunks"
            " FROM embedding_sets, pg_class WHERE state = 'serving' AND oid = 'chunks'::regclass"
            " AND pg_try_advisory_xact_lock(hashtext('slipway index check'))"
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        # Longer than any request's statement may take.
        await connection.execute("SET LOCAL statement_timeout = 0")
        samples = int(min(max(MOST_VECTORS / row["chunks"], LEAST_SAMPLES), SAMPLES))
        return await measure_recall(connection, row["id"], row["dimension"], samples=samples)


async def rebuild_index(connection: Connection, set_id: int) -> None:
    """Make the set's index anew while searches go on with the old one.

    The connection must be in autocommit mode.
    """
    # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
    await connection.execute("SET max_parallel_maintenance_workers = 0")
    await connection.execute(f"REINDEX INDEX CONCURRENTLY {index_name(set_id)}".encode())
    await connection.execute("RESET max_parallel_maintenance_workers")
