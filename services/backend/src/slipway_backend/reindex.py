"""Computing every vector anew after a change of the embedding model."""

from __future__ import annotations

import asyncio

from slipway_backend.database import check_schema, make_pool
from slipway_backend.embedding import Embedder
from slipway_backend.errors import StartRefused
from slipway_backend.logs import get_logger
from slipway_backend.queue import choose_lane, defer_ingestion, make_queue, open_queue
from slipway_backend.settings import Settings

DIMENSION = 384


async def reindex(settings: Settings, embedder: Embedder) -> int:
    """Bind the database to the embedder and queue every document again; return how many.

    All in one transaction. The passages go at once, because vectors of two models never mix.
    Raises StartRefused when the model's dimension is not the schema's.
    """
    if embedder.dimension != DIMENSION:
        raise StartRefused(
            f"{embedder.name} has {embedder.dimension} dimensions, the schema holds {DIMENSION}: "
            "choose another model."
        )
    async with make_pool(settings.require_database(), size=2, timeout=10.0) as pool:
        await check_schema(pool)
        queue = make_queue()
        await open_queue(queue, pool)
        async with pool.connection() as connection, connection.transaction():
            # Locks in a worker's order: the embedding set, the documents, their passages.
            await connection.execute(
                "INSERT INTO embedding_sets (id, model, dimension) VALUES (1, %s, %s)"
                " ON CONFLICT (id) DO UPDATE"
                " SET model = excluded.model, dimension = excluded.dimension, created_at = now()",
                [embedder.name, embedder.dimension],
            )
            cursor = await connection.execute(
                "UPDATE documents SET status = 'queued', error = NULL, chunks = 0,"
                " updated_at = now() RETURNING id, version, bytes"
            )
            rows = await cursor.fetchall()
            await connection.execute("DELETE FROM chunks")
            for row in rows:
                await defer_ingestion(
                    queue,
                    connection,
                    row["id"],
                    row["version"],
                    lane=choose_lane(settings, row["bytes"]),
                    request_id="reindex",
                )
    get_logger().info("reindex_queued", documents=len(rows), model=embedder.name)
    return len(rows)


def run_reindex(settings: Settings, embedder: Embedder) -> int:
    """Run ``reindex`` to its end."""
    return asyncio.run(reindex(settings, embedder))
