"""Documents as requests see them: every statement is limited to what its identity may touch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy
from numpy.typing import NDArray

from slipway_backend import audit
from slipway_backend.access import READABLE, WRITABLE, Identity
from slipway_backend.database import Connection

# The release before writes no stage and no source.
COLUMNS = """
    documents.id, documents.collection_id, collections.name AS collection,
    coalesce(documents.source, documents.filename) AS source, documents.version,
    documents.served_version, documents.filename, documents.media_type, documents.bytes,
    documents.sha256, documents.served_sha256, documents.status,
    CASE WHEN documents.status IN ('queued', 'ready') THEN documents.status
        ELSE coalesce(documents.stage, 'parse') END AS stage,
    documents.error, documents.pages, documents.chunks, documents.progress,
    documents.language::text AS language, documents.metadata, documents.dated_at,
    documents.created_at, documents.updated_at
"""
SELECT = f"SELECT {COLUMNS} FROM documents JOIN collections ON collections.id = collection_id"  # nosec B608


@dataclass(frozen=True)
class Document:
    """One document: its newest upload, how far that is, and which version is served.

    ``version``, ``sha256``, ``status``, ``stage`` and ``progress`` tell of the newest upload;
    ``served_version`` and ``served_sha256`` of what search finds (None: nothing yet), and so do
    ``chunks`` and ``pages``.
    """

    id: UUID
    collection_id: int
    collection: str
    source: str
    version: int
    served_version: int | None
    filename: str
    media_type: str
    bytes: int
    sha256: str
    served_sha256: str | None
    status: str
    stage: str
    error: str | None
    pages: int | None
    chunks: int
    progress: dict[str, Any]
    language: str | None
    metadata: dict[str, Any]
    dated_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Listing:
    """What a list of documents is narrowed to; an empty one narrows nothing."""

    collection: str | None = None
    status: str | None = None
    source: str | None = None
    source_prefix: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Original:
    """The file behind the served version of a document."""

    version: int
    sha256: str
    filename: str
    media_type: str


@dataclass(frozen=True)
class StoredPassage:
    """One passage of a served version, in the order of the document."""

    chunk_id: int
    position: int
    page: int | None
    ends_on_page: int | None
    heading: str
    text: str
    tokens: int
    language: str


async def find(connection: Connection, document_id: UUID, identity: Identity) -> Document | None:
    """Return a document; None when it is not there or may not be seen."""
    cursor = await connection.execute(
        f"{SELECT} WHERE documents.id = %(id)s AND collection_id = {READABLE}",
        {"id": document_id, **identity.parameters()},
    )
    row = await cursor.fetchone()
    return Document(**row) if row else None


async def find_all(
    connection: Connection, document_ids: Sequence[UUID], identity: Identity
) -> list[Document]:
    """Return those of the documents that are there and may be seen, oldest first."""
    cursor = await connection.execute(
        f"{SELECT} WHERE documents.id = ANY (%(ids)s) AND collection_id = {READABLE}"
        " ORDER BY documents.created_at, documents.id",
        {"ids": list(document_ids), **identity.parameters()},
    )
    return [Document(**row) for row in await cursor.fetchall()]


async def find_moving(
    connection: Connection, identity: Identity, since: datetime | None, *, limit: int
) -> tuple[list[Document], datetime]:
    """Return the unfinished documents, newest first, and when that was looked up.

    With ``since``, also those that changed after it; changes count from their transaction's start.
    """
    cursor = await connection.execute("SELECT now() AS now")
    row = await cursor.fetchone()
    assert row is not None
    cursor = await connection.execute(
        f"{SELECT} WHERE collection_id = {READABLE} AND (status IN ('queued', 'processing')"
        " OR documents.updated_at > %(since)s)"
        " ORDER BY documents.created_at DESC, documents.id LIMIT %(limit)s",
        {"since": since, "limit": limit, **identity.parameters()},
    )
    return [Document(**found) for found in await cursor.fetchall()], row["now"]


async def newest(
    connection: Connection, listing: Listing, identity: Identity, *, limit: int, offset: int
) -> tuple[list[Document], int]:
    """Return one page of documents, newest first, and how many there are on all pages."""
    where, values = _where(listing, identity)
    values |= {"limit": limit, "offset": offset}
    cursor = await connection.execute(
        f"{SELECT} WHERE {where} ORDER BY documents.created_at DESC, documents.id"
        " LIMIT %(limit)s OFFSET %(offset)s",
        values,
    )
    page = [Document(**row) for row in await cursor.fetchall()]
    cursor = await connection.execute(
        "SELECT count(*) AS total FROM documents"  # nosec B608
        f" JOIN collections ON collections.id = collection_id WHERE {where}",
        values,
    )
    row = await cursor.fetchone()
    return page, int(row["total"]) if row else 0


def _where(listing: Listing, identity: Identity) -> tuple[str, dict[str, Any]]:
    parts = [f"collection_id = {READABLE}"]
    values = identity.parameters()
    for name, condition in (
        ("collection", "collections.name = %(collection)s"),
        ("status", "status = %(status)s"),
        ("source", "coalesce(source, filename) = %(source)s"),
        ("source_prefix", "starts_with(coalesce(source, filename), %(source_prefix)s)"),
        ("sha256", "sha256 = %(sha256)s"),
    ):
        value = getattr(listing, name)
        if value is not None:
            parts.append(condition)
            values[name] = value
    return " AND ".join(parts), values


async def delete(
    connection: Connection, document_id: UUID, identity: Identity
) -> frozenset[str] | None:
    """Delete a document with all that was derived from it.

    Returns the SHA-256 of the contents that it had; None when there is no such document that the
    identity may write.
    """
    cursor = await connection.execute(
        f"DELETE FROM documents WHERE id = %(id)s AND collection_id = {WRITABLE}"  # nosec B608
        " RETURNING sha256, served_sha256, job_id,"
        " (SELECT name FROM collections WHERE id = collection_id) AS collection",
        {"id": document_id, **identity.parameters()},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    audit.note(collections=[row["collection"]])
    await forget_job(connection, row["job_id"])
    return frozenset({row["sha256"], row["served_sha256"] or row["sha256"]})


async def forget_job(connection: Connection, job_id: int | None) -> None:
    """Remove a job that no worker has begun; one in work ends by itself."""
    await connection.execute(
        "DELETE FROM procrastinate_jobs WHERE id = %s AND status = 'todo'", [job_id]
    )


async def original(
    connection: Connection, document_id: UUID, identity: Identity
) -> Original | None:
    """Return the file of the served version; None when nothing is served or may be seen."""
    cursor = await connection.execute(
        "SELECT served_version AS version, served_sha256 AS sha256,"  # nosec B608
        " coalesce(served_filename, filename) AS filename,"
        " coalesce(served_media_type, media_type) AS media_type,"
        " (SELECT name FROM collections WHERE id = collection_id) AS collection FROM documents"
        " WHERE id = %(id)s AND served_version IS NOT NULL AND served_sha256 IS NOT NULL"
        f" AND collection_id = {READABLE}",
        {"id": document_id, **identity.parameters()},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    audit.note(collections=[row.pop("collection")])
    return Original(**row)


async def passages(
    connection: Connection,
    document_id: UUID,
    version: int,
    identity: Identity,
    *,
    first: int,
    limit: int,
) -> list[StoredPassage]:
    """Return passages of a served version in order, from position ``first`` on."""
    cursor = await connection.execute(
        "SELECT id AS chunk_id, position, page, ends_on_page, heading, text, tokens,"  # nosec B608
        " language::text AS language FROM chunks"
        " WHERE document_id = %(id)s AND version = %(version)s AND position >= %(first)s"
        " AND embedding_set_id = (SELECT id FROM embedding_sets WHERE state = 'serving')"
        f" AND collection_id = {READABLE} ORDER BY position LIMIT %(limit)s",
        {
            "id": document_id,
            "version": version,
            "first": first,
            "limit": limit,
            **identity.parameters(),
        },
    )
    return [StoredPassage(**row) for row in await cursor.fetchall()]


async def count_unfinished(connection: Connection, owner_id: UUID) -> tuple[int, int]:
    """Return how many documents wait or are in work: the owner's, and everybody's."""
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM documents WHERE owner_id = %s"
        " AND status IN ('queued', 'processing')) AS own,"
        " (SELECT count(*) FROM documents WHERE status IN ('queued', 'processing')) AS every",
        [owner_id],
    )
    row = await cursor.fetchone()
    return (int(row["own"]), int(row["every"])) if row else (0, 0)


async def count_orphan_chunks(connection: Connection) -> int:
    """Return how many chunks belong to no served version of a document; must be 0."""
    cursor = await connection.execute(
        "SELECT count(*) AS orphans FROM chunks JOIN documents ON documents.id = document_id"
        " WHERE served_version IS DISTINCT FROM chunks.version"
    )
    row = await cursor.fetchone()
    return int(row["orphans"]) if row else 0


def vector_literal(vector: NDArray[numpy.float32]) -> str:
    """The vector as pgvector reads it."""
    return "[" + ",".join(f"{value:.6g}" for value in vector.tolist()) + "]"
