"""Uploading, listing and deleting documents."""

from __future__ import annotations

import time
from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
import structlog
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ValidationError

from slipway_backend import audit, contents, documents, uploading
from slipway_backend.access import Identity
from slipway_backend.api.identity import Reader, Writer
from slipway_backend.api.models.documents import (
    CollectionName,
    DocumentList,
    DocumentOut,
    Moment,
    Sha256,
    Source,
    Status,
    UploadFields,
    read_metadata,
)
from slipway_backend.api.paging import Limit, Offset
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.api.uploads import Upload, receive_upload
from slipway_backend.collections import read_only
from slipway_backend.database import Connection
from slipway_backend.documents import Document, Listing
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger
from slipway_backend.queue import choose_lane, choose_priority, defer_ingestion
from slipway_backend.uploading import NewUpload, Stored

router = APIRouter(prefix="/v1/documents", tags=["documents"])
FIELDS = frozenset(UploadFields.model_fields)
RETRY_SECONDS = "10"

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        **{
                            name: {"type": "string", "description": "as in the query"}
                            for name in sorted(FIELDS)
                        },
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "the document",
                        },
                    },
                }
            }
        },
    }
}


@router.post(
    "",
    status_code=202,
    responses={
        **describe(401, 403, 404, 409, 413, 415, 422, 429, 503, 507),
        200: {"model": DocumentOut, "description": "Uploaded before; nothing was queued."},
    },
    openapi_extra=_BODY,
)
async def upload(
    request: Request,
    response: Response,
    state: StateDependency,
    identity: Writer,
    collection: Annotated[CollectionName | None, Query(description="Default: `default`.")] = None,
    source: Annotated[
        Source | None,
        Query(description="Names the document within its collection. Default: its file name."),
    ] = None,
    metadata: Annotated[
        str | None, Query(description="A JSON object; replaces what was there.")
    ] = None,
    dated_at: Annotated[Moment | None, Query(description="The document's own date.")] = None,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="Repeating a key returns its first document, whatever came after.",
        ),
    ] = None,
) -> DocumentOut:
    """Store a document and queue its ingestion; the answer does not wait for it.

    The same content under the same source is nothing new (200); other content is a new version,
    and the one before is served until the new one is ready. A failed one is queued again.
    """
    unfinished = await _check_room(state, identity)
    received = await receive_upload(request, state.files, state.settings.max_upload_bytes, FIELDS)
    try:
        query = {
            "collection": collection,
            "source": source,
            "metadata": metadata,
            "dated_at": dated_at,
        }
        new = _describe(received, query, state.settings.max_metadata_bytes, idempotency_key)
        priority = choose_priority(time.time(), unfinished)
        document, stored = await _store(state, received, new, identity, priority)
    finally:
        received.incoming.discard()
    response.status_code = 202 if stored.queued else 200
    response.headers["location"] = f"{router.prefix}/{document.id}"
    get_logger().info(
        "document_uploaded",
        document_id=str(document.id),
        version=stored.version,
        bytes=document.bytes,
        queued=stored.queued,
    )
    return DocumentOut.model_validate(document)


async def _check_room(state: State, identity: Identity) -> int:
    """Return how many of the user's documents wait or are in work.

    Raises a 429 or 503 problem when that are too many already.
    """
    async with state.pool.connection() as connection:
        own, every = await documents.count_unfinished(connection, identity.user_id)
    if own >= state.settings.max_unfinished_per_user:
        raise Problem(
            429,
            "Too many unfinished documents",
            f"{own} of your documents wait or are in work: upload more when some are ready.",
            headers={"Retry-After": RETRY_SECONDS},
        )
    if every >= state.settings.max_unfinished:
        raise Problem(
            503,
            "Queue full",
            "As many documents as may wait for ingestion do: upload more when some are ready.",
            headers={"Retry-After": RETRY_SECONDS},
        )
    return own


def _describe(
    received: Upload, query: dict[str, Any], metadata_limit: int, idempotency_key: str | None
) -> NewUpload:
    """What the upload says; the query counts before the form. Raises a 422 problem."""
    given = {name: value for name, value in query.items() if value is not None}
    try:
        fields = UploadFields.model_validate({**received.fields, **given})
        metadata = None
        if fields.metadata is not None:
            metadata = read_metadata(fields.metadata, metadata_limit)
    except ValidationError as error:
        detail = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise Problem(422, "Request not valid", f"{detail}.") from None
    except ValueError as error:
        raise Problem(422, "Request not valid", f"{error}.") from None
    return NewUpload(
        collection=fields.collection,
        source=fields.source or received.filename,
        filename=received.filename,
        media_type=received.media_type,
        bytes=received.incoming.bytes,
        sha256=received.incoming.sha256,
        idempotency_key=idempotency_key,
        metadata=metadata,
        dated_at=fields.dated_at,
    )


async def _store(
    state: State, received: Upload, new: NewUpload, identity: Identity, priority: int
) -> tuple[Document, Stored]:
    """Keep the file and put row and job in, in one transaction."""
    async with state.pool.connection() as connection:
        async with connection.transaction():
            await contents.lock(connection, new.sha256)
            stored = await uploading.store(connection, new, identity)
            # Before the commit that lets a worker see the job; also when nothing is queued, in
            # case the file was lost.
            await anyio.to_thread.run_sync(state.files.keep, received.incoming)
            if stored.queued:
                await documents.forget_job(connection, stored.superseded_job)
                job = await defer_ingestion(
                    state.queue,
                    connection,
                    stored.document_id,
                    stored.version,
                    lane=choose_lane(state.settings, new.bytes),
                    priority=priority,
                    request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
                )
                await uploading.set_job(connection, stored.document_id, job)
                await audit.write(
                    connection,
                    "document.create",
                    collections=[new.collection],
                    object=stored.document_id,
                    version=stored.version,
                )
            document = await get_visible(connection, stored.document_id, identity)
        if stored.superseded_sha256 is not None:
            await contents.remove_unused(connection, state.files, [stored.superseded_sha256])
    return document, stored


@router.get("", responses=describe(401, 403, 422, 503))
async def list_documents(
    state: StateDependency,
    identity: Reader,
    collection: CollectionName | None = None,
    status: Status | None = None,
    source: Source | None = None,
    source_prefix: Source | None = None,
    sha256: Annotated[Sha256 | None, Query(description="of the newest upload")] = None,
    limit: Limit = 100,
    offset: Offset = 0,
) -> DocumentList:
    """List documents, newest first."""
    listing = Listing(collection, status, source, source_prefix, sha256)
    async with state.reads.connection(identity) as connection:
        found, total = await documents.newest(
            connection, listing, identity, limit=limit, offset=offset
        )
    return DocumentList(
        documents=[DocumentOut.model_validate(document) for document in found], total=total
    )


@router.get("/{document_id}", responses=describe(401, 403, 404, 422, 503))
async def get_document(document_id: UUID, state: StateDependency, identity: Reader) -> DocumentOut:
    """Return one document and how far its ingestion is."""
    async with state.pool.connection() as connection:
        return DocumentOut.model_validate(await get_visible(connection, document_id, identity))


@router.delete("/{document_id}", status_code=204, responses=describe(401, 403, 404, 422, 503))
async def delete_document(document_id: UUID, state: StateDependency, identity: Writer) -> None:
    """Delete a document with its passages and, unless another document shares it, its file."""
    async with state.pool.connection() as connection:
        async with connection.transaction():
            gone = await documents.delete(connection, document_id, identity)
            if gone is not None:
                await audit.write(connection, "document.delete", object=document_id)
        if gone is None:
            document = await get_visible(connection, document_id, identity)
            raise read_only(document.collection)
        await contents.remove_unused(connection, state.files, gone)
    get_logger().info("document_deleted", document_id=str(document_id))


async def get_visible(connection: Connection, document_id: UUID, identity: Identity) -> Document:
    """Return a document; raise a 404 problem when it is not there or may not be seen."""
    document = await documents.find(connection, document_id, identity)
    if document is None:
        raise missing(document_id)
    audit.note(collections=[document.collection])
    return document


def missing(document_id: UUID) -> Problem:
    """A 404 problem, the same for what is not there and what may not be seen."""
    return Problem(404, "No such document", f"There is no document {document_id}.")
