"""Uploading, listing and deleting documents."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any
from uuid import UUID

import anyio.to_thread
import structlog
from fastapi import APIRouter, Header, Query, Request, Response

from slipway_backend import documents
from slipway_backend.api.identity import Reader, Writer
from slipway_backend.api.models.documents import DocumentList, DocumentOut
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.api.uploads import Upload, receive_upload
from slipway_backend.database import Connection
from slipway_backend.documents import Document, NewDocument
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger
from slipway_backend.queue import defer_ingestion

router = APIRouter(prefix="/v1/documents", tags=["documents"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "PDF, DOCX, HTML, Markdown or text",
                        }
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
        **describe(401, 403, 409, 413, 415, 422, 503, 507),
        200: {"model": DocumentOut, "description": "Uploaded before; nothing was queued."},
    },
    openapi_extra=_BODY,
)
async def upload(
    request: Request,
    response: Response,
    state: StateDependency,
    identity: Writer,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=200,
            description="Repeating a key returns its first document. Default: content and name.",
        ),
    ] = None,
) -> DocumentOut:
    """Store a document and queue its ingestion; the answer does not wait for it.

    The same content under the same name is the same document. One whose ingestion failed is
    queued again.
    """
    received = await receive_upload(request, state.files, state.settings.max_upload_bytes)
    try:
        new = NewDocument(
            owner_id=identity.user_id,
            idempotency_key=idempotency_key or _derived_key(received),
            filename=received.filename,
            media_type=received.media_type,
            bytes=received.incoming.bytes,
            sha256=received.incoming.sha256,
        )
        document, queued = await _store(state, received, new)
    finally:
        received.incoming.discard()
    response.status_code = 202 if queued else 200
    response.headers["location"] = f"{router.prefix}/{document.id}"
    get_logger().info(
        "document_uploaded",
        document_id=str(document.id),
        bytes=document.bytes,
        queued=queued,
        user_id=str(identity.user_id),
    )
    return DocumentOut.model_validate(document)


def _derived_key(received: Upload) -> str:
    name = hashlib.sha256(received.filename.encode()).hexdigest()
    return f"content:{received.incoming.sha256}:{name[:32]}"


async def _store(state: State, received: Upload, new: NewDocument) -> tuple[Document, bool]:
    """Keep the file, insert row and job in one transaction; say whether a job was queued."""
    async with state.pool.connection() as connection, connection.transaction():
        await documents.lock_content(connection, new.sha256)
        document = await documents.insert(connection, new)
        queued = document is not None
        if document is None:
            document = await documents.find_by_key(connection, new.owner_id, new.idempotency_key)
            if document is None:  # deleted between the two statements
                raise Problem(
                    409, "Deleted meanwhile", "The document was deleted; upload it again."
                )
            if document.sha256 != new.sha256:
                raise Problem(
                    422,
                    "Idempotency key reused",
                    "This Idempotency-Key was used for other content: choose a new key.",
                )
            if document.status == "failed":
                await documents.set_status(connection, document.id, "queued")
                document = await _get(connection, document.id)
                queued = True
        # Before the commit that lets a worker see the job; also when nothing is queued, in case
        # the file was lost.
        await anyio.to_thread.run_sync(state.files.keep, received.incoming)
        if queued:
            request_id = structlog.contextvars.get_contextvars().get("request_id", "")
            await defer_ingestion(state.queue, connection, document.id, request_id)
    return document, queued


@router.get("", responses=describe(401, 403, 422, 503))
async def list_documents(
    state: StateDependency,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> DocumentList:
    """List documents, newest first."""
    async with state.pool.connection() as connection:
        found = await documents.newest(connection, limit=limit, offset=offset)
        total = await documents.count(connection)
    return DocumentList(
        documents=[DocumentOut.model_validate(document) for document in found], total=total
    )


@router.get("/{document_id}", responses=describe(401, 403, 404, 422, 503))
async def get_document(document_id: UUID, state: StateDependency, _: Reader) -> DocumentOut:
    """Return one document and how far its ingestion is."""
    async with state.pool.connection() as connection:
        return DocumentOut.model_validate(await _get(connection, document_id))


@router.delete("/{document_id}", status_code=204, responses=describe(401, 403, 404, 422, 503))
async def delete_document(document_id: UUID, state: StateDependency, identity: Writer) -> None:
    """Delete a document with its passages and, unless another document shares it, its file."""
    async with state.pool.connection() as connection:
        async with connection.transaction():
            sha256 = await documents.delete(connection, document_id)
        if sha256 is None:
            raise _missing(document_id)
        # After the commit: a file without a row is rubbish, a row without a file is a loss.
        async with connection.transaction():
            await documents.lock_content(connection, sha256)
            if not await documents.content_is_used(connection, sha256):
                await anyio.to_thread.run_sync(state.files.remove, sha256)
    get_logger().info(
        "document_deleted", document_id=str(document_id), user_id=str(identity.user_id)
    )


async def _get(connection: Connection, document_id: UUID) -> Document:
    document = await documents.find(connection, document_id)
    if document is None:
        raise _missing(document_id)
    return document


def _missing(document_id: UUID) -> Problem:
    return Problem(404, "No such document", f"There is no document {document_id}.")
