"""Documents in the database: every statement about them, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy
from numpy.typing import NDArray

from slipway_backend.chunking import Chunk
from slipway_backend.database import Connection

COLUMNS = (
    "id, filename, media_type, bytes, sha256, status, error, pages, chunks, created_at, updated_at"
)


@dataclass(frozen=True)
class Document:
    """One uploaded document and how far its ingestion is."""

    id: UUID
    filename: str
    media_type: str
    bytes: int
    sha256: str
    status: str
    error: str | None
    pages: int | None
    chunks: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class NewDocument:
    """What an upload says about itself."""

    owner_id: UUID
    idempotency_key: str
    filename: str
    media_type: str
    bytes: int
    sha256: str


async def lock_content(connection: Connection, sha256: str) -> None:
    """Hold the content's lock until the transaction ends, so that upload and delete take turns."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"file:{sha256}"]
    )


async def insert(connection: Connection, new: NewDocument) -> Document | None:
    """Insert a document; None when the owner has used the key before."""
    cursor = await connection.execute(
        f"""
        INSERT INTO documents (owner_id, idempotency_key, filename, media_type, bytes, sha256)
        VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (owner_id, idempotency_key) DO NOTHING
        RETURNING {COLUMNS}
        """,  # nosec B608
        [
            new.owner_id,
            new.idempotency_key,
            new.filename,
            new.media_type,
            new.bytes,
            new.sha256,
        ],
    )
    return _one(await cursor.fetchone())


async def find_by_key(connection: Connection, owner_id: UUID, key: str) -> Document | None:
    """Return the owner's document with an idempotency key, its row locked."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM documents WHERE owner_id = %s AND idempotency_key = %s FOR UPDATE",  # nosec B608
        [owner_id, key],
    )
    return _one(await cursor.fetchone())


async def find(connection: Connection, document_id: UUID) -> Document | None:
    """Return a document."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM documents WHERE id = %s",  # nosec B608
        [document_id],
    )
    return _one(await cursor.fetchone())


async def newest(connection: Connection, *, limit: int, offset: int) -> list[Document]:
    """Return documents, newest first."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM documents ORDER BY created_at DESC, id LIMIT %s OFFSET %s",  # nosec B608
        [limit, offset],
    )
    return [Document(**row) for row in await cursor.fetchall()]


async def count(connection: Connection) -> int:
    """Return how many documents there are."""
    cursor = await connection.execute("SELECT count(*) AS total FROM documents")
    row = await cursor.fetchone()
    return int(row["total"]) if row else 0


async def delete(connection: Connection, document_id: UUID) -> str | None:
    """Delete a document with its chunks; return its content's SHA-256, None when not there."""
    cursor = await connection.execute(
        "DELETE FROM documents WHERE id = %s RETURNING sha256", [document_id]
    )
    row = await cursor.fetchone()
    return str(row["sha256"]) if row else None


async def content_is_used(connection: Connection, sha256: str) -> bool:
    """Whether any document still has this content."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM documents WHERE sha256 = %s) AS used", [sha256]
    )
    row = await cursor.fetchone()
    return bool(row and row["used"])


async def unused(connection: Connection, sha256s: Sequence[str]) -> list[str]:
    """Return those contents that no document has."""
    cursor = await connection.execute(
        "SELECT content FROM unnest(%s::text[]) AS content"
        " WHERE NOT EXISTS (SELECT FROM documents WHERE sha256 = content)",
        [list(sha256s)],
    )
    return [row["content"] for row in await cursor.fetchall()]


async def set_status(
    connection: Connection, document_id: UUID, status: str, error: str | None = None
) -> bool:
    """Set status and error; False when the document is gone."""
    cursor = await connection.execute(
        "UPDATE documents SET status = %s, error = %s, updated_at = now() WHERE id = %s",
        [status, error, document_id],
    )
    return cursor.rowcount == 1


async def fail(connection: Connection, document_id: UUID, reason: str) -> bool:
    """Mark a document as failed and remove its passages; False when the document is gone."""
    async with connection.transaction():
        cursor = await connection.execute(
            "UPDATE documents SET status = 'failed', error = %s, chunks = 0, updated_at = now()"
            " WHERE id = %s",
            [reason, document_id],
        )
        await connection.execute("DELETE FROM chunks WHERE document_id = %s", [document_id])
    return cursor.rowcount == 1


async def replace_chunks(
    connection: Connection,
    document_id: UUID,
    *,
    media_type: str,
    pages: int | None,
    chunks: Sequence[Chunk],
    vectors: NDArray[numpy.float32],
) -> bool:
    """Put a document's passages in place of its earlier ones and make it ready, all or nothing.

    Returns False, and stores nothing, when the document was deleted meanwhile.
    """
    async with connection.transaction():
        cursor = await connection.execute(
            "SELECT id FROM documents WHERE id = %s FOR UPDATE", [document_id]
        )
        if await cursor.fetchone() is None:
            return False
        await connection.execute("DELETE FROM chunks WHERE document_id = %s", [document_id])
        copy_statement = (
            "COPY chunks (document_id, embedding_set_id, position, page, heading, text, tokens,"
            " embedding) FROM STDIN"
        )
        async with connection.cursor() as writer, writer.copy(copy_statement) as copy:
            for chunk, vector in zip(chunks, vectors, strict=True):
                await copy.write_row(
                    (
                        document_id,
                        1,
                        chunk.position,
                        chunk.page,
                        chunk.heading,
                        chunk.text,
                        chunk.tokens,
                        vector_literal(vector),
                    )
                )
        await connection.execute(
            "UPDATE documents SET status = 'ready', error = NULL, media_type = %s, pages = %s,"
            " chunks = %s, updated_at = now() WHERE id = %s",
            [media_type, pages, len(chunks), document_id],
        )
    return True


def vector_literal(vector: NDArray[numpy.float32]) -> str:
    """The vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in vector.tolist()) + "]"


def _one(row: dict[str, Any] | None) -> Document | None:
    return Document(**row) if row else None
