"""Slipway's storing alone: what its worker calls once a document's vectors are there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from uuid import uuid4

import numpy
from numpy.typing import NDArray
from performance.corpus import CHUNKS_PER_DOCUMENT
from performance.corpus import Chunk as CorpusChunk
from served import Site

from slipway_backend import documents
from slipway_backend.chunking import Chunk
from slipway_backend.database import Connection, make_pool


async def store_given(
    site: Site, chunks: Sequence[CorpusChunk], vectors: NDArray[numpy.float32]
) -> tuple[int, float]:
    """Store chunks with their vectors, document by document; chunks, and seconds."""
    async with make_pool(site.database_url, size=1) as pool, pool.connection() as connection:
        cursor = await connection.execute("SELECT id FROM users WHERE role = 'admin'")
        row = await cursor.fetchone()
        started = time.perf_counter()
        for start in range(0, len(chunks), CHUNKS_PER_DOCUMENT):
            part = slice(start, start + CHUNKS_PER_DOCUMENT)
            await _store(connection, row["id"] if row else None, chunks[part], vectors[part])
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
        " sha256) VALUES (%s, %s, %s, %s, 'text/markdown', 1, %s) RETURNING id",
        [owner, name, name, name, name],
    )
    row = await cursor.fetchone()
    assert row is not None
    await documents.replace_chunks(
        connection,
        row["id"],
        media_type="text/markdown",
        pages=None,
        chunks=[
            Chunk(place, None, chunk.heading, chunk.text, 70) for place, chunk in enumerate(chunks)
        ],
        vectors=vectors,
    )
