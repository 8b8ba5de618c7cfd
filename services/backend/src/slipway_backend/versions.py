"""One version of a document on its way to being served: the statements of the worker.

Each of them touches the version that it names and nothing newer, so a job that comes late, after
the document was deleted or uploaded again, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

from slipway_backend.chunk_rows import Place, insert_chunks
from slipway_backend.chunking import Chunk
from slipway_backend.database import Connection


class Superseded(Exception):
    """The version is not the newest one any more, or its document was deleted."""


@dataclass(frozen=True)
class Version:
    """One version of a document that is to be ingested."""

    document_id: UUID
    version: int
    filename: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Passages:
    """What was made of one version: its passages, in what language, and their vectors.

    ``vectors`` holds one array per embedding set, by the set's id, one row per passage.
    ``language`` is a name of PostgreSQL's full-text configurations; None: the collection's.
    """

    media_type: str
    pages: int | None
    language: str | None
    chunks: Sequence[Chunk]
    vectors: Mapping[int, NDArray[numpy.float32]]


async def newest_version(connection: Connection, document_id: UUID) -> int:
    """Return the number of a document's newest version; raise Superseded when it is gone."""
    cursor = await connection.execute("SELECT version FROM documents WHERE id = %s", [document_id])
    row = await cursor.fetchone()
    if row is None:
        raise Superseded
    return int(row["version"])


async def begin(connection: Connection, document_id: UUID, version: int) -> Version:
    """Mark a version as in work; raise Superseded when there is nothing to do for it."""
    # A worker of the release before knows no versions: what it stored under a newer number is
    # done again.
    cursor = await connection.execute(
        "UPDATE documents SET status = 'processing', stage = 'parse', progress = '{}',"
        " error = NULL, updated_at = now() WHERE id = %(id)s AND version = %(version)s"
        " AND (status IN ('queued', 'processing') OR EXISTS (SELECT FROM chunks"
        " WHERE document_id = %(id)s AND chunks.version <> %(version)s))"
        " RETURNING id AS document_id, version, filename, sha256, bytes",
        {"id": document_id, "version": version},
    )
    row = await cursor.fetchone()
    if row is None:
        raise Superseded
    return Version(**row)


async def tell(
    connection: Connection, version: Version, stage: str, progress: Mapping[str, Any]
) -> None:
    """Store how far a version is; raise Superseded when it is not wanted any more."""
    cursor = await connection.execute(
        "UPDATE documents SET stage = %s, progress = %s, updated_at = now()"
        " WHERE id = %s AND version = %s AND status = 'processing'",
        [stage, Jsonb(progress), version.document_id, version.version],
    )
    if cursor.rowcount == 0:
        raise Superseded


async def queue_again(connection: Connection, version: Version, job_id: int) -> None:
    """Put a version back under another job; raise Superseded when it is not wanted any more."""
    cursor = await connection.execute(
        "UPDATE documents SET status = 'queued', stage = NULL, progress = '{}', job_id = %s,"
        " updated_at = now() WHERE id = %s AND version = %s AND status = 'processing'",
        [job_id, version.document_id, version.version],
    )
    if cursor.rowcount == 0:
        raise Superseded


async def fail(connection: Connection, document_id: UUID, version: int, reason: str) -> None:
    """Mark a version as failed; one that was served before goes on being served.

    Raises Superseded when it is not the newest one any more.
    """
    cursor = await connection.execute(
        "UPDATE documents SET status = 'failed', error = %s, updated_at = now()"
        " WHERE id = %s AND version = %s AND status <> 'ready'",
        [reason, document_id, version],
    )
    if cursor.rowcount == 0:
        raise Superseded


async def serve(
    connection: Connection, version: Version, passages: Passages, progress: Mapping[str, Any]
) -> str | None:
    """Put a version's passages in place of those served before; all or nothing.

    To be called in a transaction that holds the embedding sets' rows. Returns the SHA-256 of the
    content served before, None when there was none; raises Superseded, with nothing stored, when
    the version is not the newest one any more.
    """
    cursor = await connection.execute(
        "SELECT documents.collection_id, documents.served_sha256,"
        " coalesce(%s::text::regconfig, collections.language) AS language,"
        " coalesce(%s::text::regconfig, collections.language)::oid::bigint AS oid"
        " FROM documents JOIN collections ON collections.id = documents.collection_id"
        " WHERE documents.id = %s AND documents.version = %s FOR UPDATE OF documents",
        [passages.language, passages.language, version.document_id, version.version],
    )
    row = await cursor.fetchone()
    if row is None:
        raise Superseded
    # The vector index takes milliseconds for each passage, and a document has any number of them.
    await connection.execute("SET LOCAL statement_timeout = 0")
    await connection.execute("DELETE FROM chunks WHERE document_id = %s", [version.document_id])
    place = Place(version.document_id, row["collection_id"], version.version, row["oid"])
    for embedding_set_id, vectors in passages.vectors.items():
        await insert_chunks(connection, place, embedding_set_id, passages.chunks, vectors)
    # A trigger makes it the served version.
    await connection.execute(
        "UPDATE documents SET status = 'ready', stage = 'ready', error = NULL, media_type = %s,"
        " pages = %s, chunks = %s, language = %s::text::regconfig, progress = %s,"
        " updated_at = now() WHERE id = %s",
        [
            passages.media_type,
            passages.pages,
            len(passages.chunks),
            row["language"],
            Jsonb(progress),
            version.document_id,
        ],
    )
    return str(row["served_sha256"]) if row["served_sha256"] else None
