"""Slipway's storing alone: what its worker calls once a document's vectors are there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

import numpy
from numpy.typing import NDArray
from performance.corpus import CHUNKS_PER_DOCUMENT
from performance.corpus import Chunk as CorpusChunk
from served import Site

from slipway_backend.chunk_rows import Place, insert_chunks
from slipway_backend.chunking import Chunk
from slipway_backend.database import Connection, make_pool


async def store_given(
    site: Site, chunks: Sequence[CorpusChunk], vectors: NDArray[numpy.float32], *, workers: int
) -> tuple[int, float]:
    """Store chunks with their vectors, document by document; chunks, and seconds.

    Each of the `workers` has a connection of its own and takes the next document.
    """
    starts = iter(range(0, len(chunks), CHUNKS_PER_DOCUMENT))
    async with make_pool(site.database_url, size=workers) as pool:

        async def work() -> None:
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT id FROM users WHERE role = 'admin'")
                row = await cursor.fetchone()
                owner = row["id"] if row else None
                for start in starts:
                    part = slice(start, start + CHUNKS_PER_DOCUMENT)
                    await _store(connection, owner, chunks[part], vectors[part])

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(workers)))
        return len(chunks), time.perf_counter() - started


async def _store(
    connection: Connection,
    owner: object,
    chunks: Sequence[CorpusChunk],
    vectors: NDArray[numpy.float32],
) -> None:
    name = f"{uuid4().hex}.md"
    cursor = await connection.execute(
        "INSERT INTO documents (owner_id, idempotency_key, filename, source, media_type, bytes,"
        " sha256) VALUES (%s, %s, %s, %s, 'text/markdown', 1, %s) RETURNING id,"
        " 'english'::regconfig::oid AS language",
        [owner, name, name, name, name],
    )
    row = await cursor.fetchone()
    assert row is not None
    place = Place(row["id"], 1, 1, row["language"])
    passages = [
        Chunk(position, None, chunk.heading, chunk.text, 70)
        for position, chunk in enumerate(chunks)
    ]
    await insert_chunks(connection, place, 1, passages, vectors)
