"""What documents hold: their original files, their passages, and whole collections."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Annotated, BinaryIO
from urllib.parse import quote
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from slipway_backend import collections, documents
from slipway_backend.api.identity import Reader, StandingDependency
from slipway_backend.api.models.documents import CollectionName, PassageList, PassageOut
from slipway_backend.api.paging import Limit
from slipway_backend.api.problems import describe
from slipway_backend.api.routes.documents import get_visible
from slipway_backend.api.state import StateDependency
from slipway_backend.errors import Problem
from slipway_backend.export import export_lines

router = APIRouter(tags=["documents"])
PIECE_BYTES = 256 * 1024
JSON_LINES = "application/x-ndjson"


@router.get(
    "/v1/documents/{document_id}/file",
    response_class=StreamingResponse,
    responses={
        **describe(401, 403, 404, 422, 503),
        200: {
            "description": "The original file of the served version.",
            "content": {"application/octet-stream": {"schema": {"format": "binary"}}},
        },
    },
)
async def download(
    document_id: UUID, state: StateDependency, identity: Reader
) -> StreamingResponse:
    """Return the original file of the version that is served, as an attachment."""
    async with state.pool.connection() as connection:
        original = await documents.original(connection, document_id, identity)
        if original is None:
            await get_visible(connection, document_id, identity)
            raise nothing_served(document_id)
    try:
        # Opened before the answer begins: what is deleted from here on is still read to its end.
        stream = await anyio.to_thread.run_sync(state.files.path(original.sha256).open, "rb")
    except FileNotFoundError:
        raise Problem(
            503,
            "File not available",
            "The file of this document is not in the file store at the moment: try again, and "
            "tell the operator if it stays so.",
            headers={"Retry-After": "30"},
        ) from None
    return StreamingResponse(
        _pieces(stream),
        media_type=original.media_type,
        headers={
            "Content-Length": str(os.fstat(stream.fileno()).st_size),
            "Content-Disposition": attachment(original.filename),
            "ETag": f'"{original.sha256}"',
            # A document's markup must never run as part of this site.
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "X-Content-Type-Options": "nosniff",
            "X-Slipway-Version": str(original.version),
        },
    )


@router.get("/v1/documents/{document_id}/passages", responses=describe(401, 403, 404, 422, 503))
async def list_passages(
    document_id: UUID,
    state: StateDependency,
    identity: Reader,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> PassageList:
    """List the passages of the version that is served, in the order of the document."""
    async with state.pool.connection() as connection, connection.transaction():
        document = await get_visible(connection, document_id, identity)
        if document.served_version is None:
            raise nothing_served(document_id)
        found = await documents.passages(
            connection, document_id, document.served_version, identity, first=offset, limit=limit
        )
    return PassageList(
        document_id=document_id,
        version=document.served_version,
        passages=[PassageOut.model_validate(passage) for passage in found],
        total=document.chunks,
    )


@router.get(
    "/v1/collections/{name}/export",
    response_class=StreamingResponse,
    responses={
        **describe(401, 403, 404, 422, 503),
        200: {
            "description": "One JSON object per line: `document`, its `passage`s, at last `end`.",
            "content": {JSON_LINES: {"schema": {"type": "string"}}},
        },
    },
)
async def export(
    name: CollectionName, state: StateDependency, identity: Reader, standing: StandingDependency
) -> StreamingResponse:
    """Stream every served document of a collection with its passages, as JSON lines."""
    async with state.pool.connection() as connection:
        collection = await collections.get(connection, name, identity)
    return StreamingResponse(
        export_lines(state.pool, collection.id, identity, standing.confirm),
        media_type=JSON_LINES,
        headers={"Content-Disposition": attachment(f"{name}.jsonl"), "X-Accel-Buffering": "no"},
    )


def attachment(filename: str) -> str:
    """The Content-Disposition of a file to save (RFC 6266), also for names outside ASCII."""
    plain = "".join(
        sign if sign.isascii() and sign.isprintable() and sign not in '"\\%' else "_"
        for sign in filename
    )
    encoded = quote(filename.encode("utf-8", errors="replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def nothing_served(document_id: UUID) -> Problem:
    """A 404 problem for a document whose first version is not ready."""
    return Problem(
        404,
        "Nothing served yet",
        f"No version of the document {document_id} was ingested yet: wait until its status is "
        "`ready`.",
    )


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(PIECE_BYTES):
            yield piece
