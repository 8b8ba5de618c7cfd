"""Bringing a set to what is served: vectors of every document's passages, then the index."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any
from uuid import UUID

import anyio.to_thread

from slipway_backend.database import Connection
from slipway_backend.documents import vector_literal
from slipway_backend.embedding_sets import EmbeddingSet
from slipway_backend.embedding_sets.progress import index_state
from slipway_backend.embedding_sets.stored import index_name, index_statement
from slipway_backend.logs import get_logger

NOBODY = UUID(int=0)
EMBEDDING_BATCH = 32
# What any embedder takes: one that fails with a document and takes this fails for the document.
HARMLESS = "passage"

# Documents that search finds in some set and not in this one.
MISSING = """
SELECT documents.id FROM documents
WHERE documents.id > %(after)s AND served_version IS NOT NULL
    AND EXISTS (SELECT FROM chunks WHERE document_id = documents.id)
    AND NOT EXISTS (
        SELECT FROM chunks WHERE document_id = documents.id AND embedding_set_id = %(set)s)
ORDER BY documents.id LIMIT %(limit)s
"""
PASSAGES = """
SELECT id, position, heading, text, tokens, page FROM chunks
WHERE document_id = %(document)s AND embedding_set_id = (
    SELECT embedding_set_id FROM chunks WHERE document_id = %(document)s
    ORDER BY embedding_set_id LIMIT 1)
ORDER BY position
"""
COPY_PASSAGES = """
INSERT INTO chunks (document_id, embedding_set_id, collection_id, version, position, page,
    ends_on_page, heading, text, tokens, language, embedding)
SELECT document_id, %(set)s, collection_id, version, position, page, ends_on_page, heading, text,
    tokens, language, made.vector::halfvec
FROM unnest(%(ids)s::bigint[], %(vectors)s::text[]) AS made (id, vector)
JOIN chunks USING (id)
"""


class NotEmbedded(Exception):
    """The embedder works, and not with this document; the message says what it told."""


class _Changed(Exception):
    """The document changed while its passages were embedded."""


async def missing(connection: Connection, number: int, after: UUID, limit: int) -> list[UUID]:
    """Return served documents that a set has nothing of, in the order of their ids."""
    cursor = await connection.execute(MISSING, {"set": number, "after": after, "limit": limit})
    return [row["id"] for row in await cursor.fetchall()]


async def fill(
    connection: Connection, target: EmbeddingSet, *, leave: Collection[UUID] = ()
) -> AsyncIterator[tuple[UUID, str | None]]:
    """Give the set every served document that it lacks, one transaction each; yield after each.

    Passages are taken from another set and embedded anew; nothing is parsed again. What was done
    stays done, so this goes on where it was interrupted. A document that cannot be embedded is
    yielded with the reason and holds up no other; those to ``leave`` are not tried.
    """
    after = NOBODY
    while documents := await missing(connection, target.id, after, 100):
        for document in documents:
            if document in leave:
                continue
            reason = None
            try:
                await fill_document(connection, target, document)
            except NotEmbedded as failed:
                reason = str(failed)
                get_logger().warning(
                    "document_not_embedded",
                    document_id=str(document),
                    set=target.id,
                    reason=reason,
                )
            yield document, reason
        after = documents[-1]


async def fill_document(connection: Connection, target: EmbeddingSet, document: UUID) -> bool:
    """Give the set one document; False when it changed meanwhile, with nothing stored.

    Raises NotEmbedded when the embedder takes other texts and not this document's, and what the
    embedder raises when it takes none.
    """
    cursor = await connection.execute(PASSAGES, {"document": document})
    rows = await cursor.fetchall()
    literals = await _vectors(target, rows)
    ids = [row["id"] for row in rows]
    try:
        async with connection.transaction():
            # In the order of an ingestion, which replaces the passages of all sets.
            await connection.execute("SELECT FROM documents WHERE id = %s FOR UPDATE", [document])
            if await _has(connection, target.id, document):
                return False
            # A set that is complete has its index, which takes milliseconds for each passage.
            await connection.execute("SET LOCAL statement_timeout = 0")
            cursor = await connection.execute(
                COPY_PASSAGES, {"set": target.id, "ids": ids, "vectors": literals}
            )
            if cursor.rowcount != len(ids):
                raise _Changed
    except _Changed:
        return False
    return True


async def _vectors(target: EmbeddingSet, rows: list[dict[str, Any]]) -> list[str]:
    literals: list[str] = []
    try:
        for start in range(0, len(rows), EMBEDDING_BATCH):
            texts = [
                f"{row['heading']}\n{row['text']}" if row["heading"] else row["text"]
                for row in rows[start : start + EMBEDDING_BATCH]
            ]
            literals += [vector_literal(vector) for vector in await _embed(target, texts)]
    except Exception as error:
        if await takes_anything(target):
            raise NotEmbedded(str(error) or type(error).__name__) from error
        raise
    return literals


async def takes_anything(target: EmbeddingSet) -> bool:
    """Whether a set's embedder works, so that it failed with a document for the document.

    A server's status does not say whose fault it is: some answer 500 to what is too long.
    """
    try:
        await _embed(target, [HARMLESS])
    except Exception:
        return False
    return True


async def _embed(target: EmbeddingSet, texts: list[str]) -> Any:
    return await anyio.to_thread.run_sync(target.embedder.embed, texts, abandon_on_cancel=True)


async def ensure_index(connection: Connection, target: EmbeddingSet, *, megabytes: int) -> bool:
    """Make the set's index unless there is a valid one; return whether it was made.

    What an interrupted run left is removed first. The connection must not be in a transaction.
    """
    state = await index_state(connection, target.id)
    if state == "valid":
        return False
    name = index_name(target.id)
    get_logger().info("embedding_index_building", set=target.id, was=state)
    await connection.execute("SET statement_timeout = 0")
    # At its end it waits for every transaction that began before, a backup's among them: given up
    # there, all of it would be done again.
    await connection.execute("SET lock_timeout = 0")
    # CVE-2026-3172: parallel HNSW builds overflow a buffer in pgvector before 0.8.2.
    await connection.execute("SET max_parallel_maintenance_workers = 0")
    await connection.execute(f"SET maintenance_work_mem = '{megabytes:d}MB'".encode())
    try:
        if state == "invalid":
            await connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}".encode())
        statement = index_statement(target.id, target.dimension, concurrently=True)
        await connection.execute(statement.encode())
    finally:
        if not connection.broken:
            for setting in (
                "statement_timeout",
                "lock_timeout",
                "max_parallel_maintenance_workers",
                "maintenance_work_mem",
            ):
                await connection.execute(f"RESET {setting}".encode())
    # Searches choose their route by what the planner knows of the set.
    await connection.execute("ANALYZE chunks")
    return True


async def _has(connection: Connection, number: int, document: UUID) -> bool:
    cursor = await connection.execute(
        "SELECT FROM chunks WHERE document_id = %s AND embedding_set_id = %s LIMIT 1",
        [document, number],
    )
    return await cursor.fetchone() is not None
