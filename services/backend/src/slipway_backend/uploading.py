"""What an upload does to the database: a new document, a new version, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from slipway_backend import collections, documents
from slipway_backend.access import WRITABLE, Identity
from slipway_backend.database import Connection
from slipway_backend.errors import Problem


@dataclass(frozen=True)
class NewUpload:
    """What an upload says about itself. ``metadata`` and ``dated_at``: None leaves them alone."""

    collection: str
    source: str
    filename: str
    media_type: str
    bytes: int
    sha256: str
    idempotency_key: str | None = None
    metadata: Mapping[str, Any] | None = None
    dated_at: datetime | None = None


@dataclass(frozen=True)
class Stored:
    """Which document and version an upload is, and whether that has to be ingested.

    ``superseded_job`` belongs to the version before; ``superseded_sha256`` may be unused now.
    """

    document_id: UUID
    version: int
    queued: bool
    superseded_job: int | None = None
    superseded_sha256: str | None = None


async def store(connection: Connection, upload: NewUpload, identity: Identity) -> Stored:
    """Insert or update the document of an upload; to be called in a transaction.

    The content's lock must be held. Raises Problem: 403 or 404 for the collection, 409 when the
    document was deleted meanwhile, 422 for a key that belongs to other content.
    """
    if upload.idempotency_key is not None:
        repeated = await _repeated(connection, upload, upload.idempotency_key, identity)
        if repeated is not None:
            return repeated
    collection_id = await collections.hold_writable(connection, upload.collection, identity)
    stored = await _insert(connection, upload, collection_id, identity)
    if stored is None:
        stored = await _update(connection, upload, collection_id, identity)
    if upload.idempotency_key is not None:
        cursor = await connection.execute(
            "INSERT INTO upload_keys (owner_id, key, document_id, sha256) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [identity.user_id, upload.idempotency_key, stored.document_id, upload.sha256],
        )
        if cursor.rowcount == 0:
            raise _key_reused()
    return stored


async def _repeated(
    connection: Connection, upload: NewUpload, key: str, identity: Identity
) -> Stored | None:
    """Return the first document of a key; None when the key is new."""
    # The release before kept the keys with the documents.
    cursor = await connection.execute(
        "SELECT document_id, sha256 FROM upload_keys WHERE owner_id = %(owner)s AND key = %(key)s"
        " UNION ALL SELECT id, sha256 FROM documents"
        " WHERE owner_id = %(owner)s AND idempotency_key = %(key)s",
        {"owner": identity.user_id, "key": key},
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row["sha256"] != upload.sha256:
        raise _key_reused()
    document = await documents.find(connection, row["document_id"], identity)
    if document is None:
        raise _deleted_meanwhile()
    if document.sha256 != upload.sha256:
        return Stored(document.id, document.version, queued=False)
    return await _again(connection, document.id, identity)


async def _insert(
    connection: Connection, upload: NewUpload, collection_id: int, identity: Identity
) -> Stored | None:
    """Insert a document; None when the collection has its source already."""
    cursor = await connection.execute(
        """
        INSERT INTO documents (owner_id, idempotency_key, collection_id, source, filename,
            media_type, bytes, sha256, metadata, dated_at)
        VALUES (%(owner)s, 'document:' || gen_random_uuid(), %(collection)s, %(source)s,
            %(filename)s, %(media_type)s, %(bytes)s, %(sha256)s, %(metadata)s, %(dated_at)s)
        ON CONFLICT (collection_id, source) DO NOTHING
        RETURNING id
        """,
        _values(upload, collection_id, identity) | {"metadata": Jsonb(upload.metadata or {})},
    )
    row = await cursor.fetchone()
    return Stored(row["id"], 1, queued=True) if row else None


async def _update(
    connection: Connection, upload: NewUpload, collection_id: int, identity: Identity
) -> Stored:
    """Make the upload the newest version of the document with its source, if it is another one."""
    values = _values(upload, collection_id, identity)
    cursor = await connection.execute(
        "SELECT id, sha256, served_sha256, job_id FROM documents"
        " WHERE collection_id = %(collection)s AND source = %(source)s FOR UPDATE",
        values,
    )
    row = await cursor.fetchone()
    if row is None:
        raise _deleted_meanwhile()
    values["id"] = row["id"]
    if upload.metadata is not None or upload.dated_at is not None:
        await connection.execute(
            "UPDATE documents SET metadata = coalesce(%(metadata)s, metadata),"
            " dated_at = coalesce(%(dated_at)s, dated_at), updated_at = now()"
            " WHERE id = %(id)s AND (metadata, dated_at) IS DISTINCT FROM"
            " (coalesce(%(metadata)s, metadata), coalesce(%(dated_at)s, dated_at))",
            values,
        )
    if row["sha256"] == upload.sha256:
        return await _again(connection, row["id"], identity)
    # The release before kept a client's key with the document.
    await connection.execute(
        "INSERT INTO upload_keys (owner_id, key, document_id, sha256)"
        " SELECT owner_id, idempotency_key, id, sha256 FROM documents WHERE id = %(id)s"
        " AND owner_id IS NOT NULL AND idempotency_key NOT LIKE 'content:%%'"
        " AND idempotency_key NOT LIKE 'document:%%' ON CONFLICT DO NOTHING",
        values,
    )
    cursor = await connection.execute(
        """
        UPDATE documents SET version = version + 1, owner_id = %(owner)s,
            idempotency_key = 'document:' || gen_random_uuid(), filename = %(filename)s,
            media_type = %(media_type)s, bytes = %(bytes)s, sha256 = %(sha256)s,
            status = 'queued', stage = NULL, progress = '{}', error = NULL, updated_at = now()
        WHERE id = %(id)s
        RETURNING version
        """,
        values,
    )
    updated = await cursor.fetchone()
    if updated is None:
        raise _deleted_meanwhile()
    unserved = row["sha256"] if row["sha256"] != row["served_sha256"] else None
    return Stored(row["id"], updated["version"], True, row["job_id"], unserved)


async def _again(connection: Connection, document_id: UUID, identity: Identity) -> Stored:
    """Queue the newest version again if it failed; otherwise there is nothing to do."""
    cursor = await connection.execute(
        "UPDATE documents SET status = 'queued', stage = NULL, progress = '{}',"  # nosec B608
        " error = NULL, updated_at = now() WHERE id = %(id)s AND status = 'failed'"
        f" AND collection_id = {WRITABLE} RETURNING version",
        {"id": document_id, **identity.parameters()},
    )
    row = await cursor.fetchone()
    if row is not None:
        return Stored(document_id, row["version"], queued=True)
    cursor = await connection.execute("SELECT version FROM documents WHERE id = %s", [document_id])
    row = await cursor.fetchone()
    if row is None:
        raise _deleted_meanwhile()
    return Stored(document_id, row["version"], queued=False)


async def set_job(connection: Connection, document_id: UUID, job_id: int) -> None:
    """Remember the job of the newest version, so that it can be taken back."""
    await connection.execute(
        "UPDATE documents SET job_id = %s WHERE id = %s", [job_id, document_id]
    )


def _values(upload: NewUpload, collection_id: int, identity: Identity) -> dict[str, Any]:
    return {
        "owner": identity.user_id,
        "collection": collection_id,
        "source": upload.source,
        "filename": upload.filename,
        "media_type": upload.media_type,
        "bytes": upload.bytes,
        "sha256": upload.sha256,
        "metadata": None if upload.metadata is None else Jsonb(upload.metadata),
        "dated_at": upload.dated_at,
    }


def _key_reused() -> Problem:
    return Problem(
        422,
        "Idempotency key reused",
        "This Idempotency-Key was used for other content: choose a new key.",
    )


def _deleted_meanwhile() -> Problem:
    return Problem(409, "Deleted meanwhile", "The document was deleted; upload it again.")
