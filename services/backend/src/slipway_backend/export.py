"""A collection as JSON lines: its served documents, each followed by its passages.

Read in short statements, so that a client that reads slowly holds no connection and no snapshot.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

from slipway_backend import documents
from slipway_backend.access import READABLE, Identity
from slipway_backend.database import Connection, Pool
from slipway_backend.documents import SELECT, Document
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger

DOCUMENTS = 100
PASSAGES = 500
_FIRST = UUID(int=0)


async def export_lines(
    pool: Pool, collection_id: int, identity: Identity, confirm: Callable[[], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """Yield one JSON object per line; ``kind`` says which.

    ``document``, then its ``passage`` lines. ``changed``: the document was replaced or deleted
    while it was read, so what stands before of it is not whole. The last line is ``end`` with the
    counts; without it the export was cut off, as when ``confirm`` raises a problem because who
    asked may not have the rest.
    """
    counts = {"documents": 0, "passages": 0}
    after = _FIRST
    while True:
        try:
            await confirm()
        except Problem as problem:
            get_logger().warning("export_ended", reason=problem.title)
            return
        async with pool.connection() as connection:
            page = await _page(connection, collection_id, after, identity)
        for document in page:
            counts["documents"] += 1
            yield _line("document", _describe(document))
            written = 0
            async for lines, number in _passages(pool, document, identity):
                yield lines
                written += number
            counts["passages"] += written
            if written != document.chunks:
                yield _line("changed", {"document_id": document.id})
        if len(page) < DOCUMENTS:
            break
        after = page[-1].id
    yield _line("end", counts)


async def _page(
    connection: Connection, collection_id: int, after: UUID, identity: Identity
) -> list[Document]:
    cursor = await connection.execute(
        f"{SELECT} WHERE collection_id = %(collection)s AND collection_id = {READABLE}"
        " AND documents.id > %(after)s AND served_version IS NOT NULL"
        " ORDER BY documents.id LIMIT %(limit)s",
        {
            "collection": collection_id,
            "after": after,
            "limit": DOCUMENTS,
            **identity.parameters(),
        },
    )
    return [Document(**row) for row in await cursor.fetchall()]


async def _passages(
    pool: Pool, document: Document, identity: Identity
) -> AsyncIterator[tuple[bytes, int]]:
    first = 0
    while True:
        async with pool.connection() as connection:
            found = await documents.passages(
                connection,
                document.id,
                document.served_version or 0,
                identity,
                first=first,
                limit=PASSAGES,
            )
        if found:
            first = found[-1].position + 1
            lines = (
                _line("passage", {"document_id": document.id, **asdict(passage)})
                for passage in found
            )
            yield b"".join(lines), len(found)
        if len(found) < PASSAGES:
            return


def _describe(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "source": document.source,
        "version": document.served_version,
        "sha256": document.served_sha256,
        "pages": document.pages,
        "chunks": document.chunks,
        "language": document.language,
        "metadata": document.metadata,
        "dated_at": document.dated_at.isoformat() if document.dated_at else None,
        "created_at": document.created_at.isoformat(),
    }


def _line(kind: str, values: dict[str, Any]) -> bytes:
    return json.dumps({"kind": kind, **values}, ensure_ascii=False, default=str).encode() + b"\n"
