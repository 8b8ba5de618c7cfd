"""Progress of documents as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter

from slipway_backend import documents
from slipway_backend.access import Identity
from slipway_backend.api.identity import Reader
from slipway_backend.api.models.documents import DocumentOut
from slipway_backend.api.problems import describe
from slipway_backend.api.routes.documents import get_visible
from slipway_backend.api.state import State, StateDependency
from slipway_backend.api.streams import MEDIA_TYPE, EventStream, event
from slipway_backend.database import TRANSIENT, Connection
from slipway_backend.documents import Document, Listing

router = APIRouter(tags=["documents"])
FINISHED = ("ready", "failed")
# Between two looks of one stream; what changes meanwhile is told once.
PAUSE_SECONDS = 0.2
LOOK_AROUND_SECONDS = 1.0
# A client connects again by itself, and is asked again who it is.
LONGEST_SECONDS = 3600.0
MOST = 500
T = TypeVar("T")

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `document` with the document, and `deleted` with its `id`.",
        "content": {MEDIA_TYPE: {}},
    }
}


@router.get(
    "/v1/documents/{document_id}/events",
    response_class=EventStream,
    responses={**describe(401, 403, 404, 422, 503), **_EVENTS},
)
async def document_events(
    document_id: UUID, state: StateDependency, identity: Reader
) -> EventStream:
    """Tell of one document now and whenever it changes, until it is ready, failed or deleted."""
    return EventStream(_follow_one(state, document_id, identity), _tell)


@router.get(
    "/v1/events",
    response_class=EventStream,
    responses={**describe(401, 403, 422, 503), **_EVENTS},
)
async def events(state: StateDependency, identity: Reader) -> EventStream:
    """Tell of every unfinished document that you may see, and of each whenever it changes."""
    return EventStream(_follow_all(state, identity), _tell)


async def _follow_one(
    state: State, document_id: UUID, identity: Identity
) -> AsyncGenerator[bytes, None]:
    with state.changes.subscribe(document_id) as subscription:
        async with state.pool.connection() as connection:
            document: Document | None = await get_visible(connection, document_id, identity)
        told: Document | None = None
        ends_at = time.monotonic() + LONGEST_SECONDS
        while document is not None:
            if document != told:
                yield _event(document)
                told = document
            if document.status in FINISHED:
                return
            while not await subscription.wait(LOOK_AROUND_SECONDS):
                if state.lifecycle.draining or time.monotonic() > ends_at:
                    return
            subscription.take()
            await asyncio.sleep(PAUSE_SECONDS)
            document = await _patiently(
                state, lambda connection: documents.find(connection, document_id, identity)
            )
        yield _deleted(document_id)


async def _follow_all(state: State, identity: Identity) -> AsyncGenerator[bytes, None]:
    unfinished = Listing(unfinished=True)

    async def look_at_all(connection: Connection) -> list[Document]:
        found, _ = await documents.newest(connection, unfinished, identity, limit=MOST, offset=0)
        return found

    with state.changes.subscribe() as subscription:
        async with state.pool.connection() as connection:
            found = await look_at_all(connection)
        known: set[UUID] = set()
        ends_at = time.monotonic() + LONGEST_SECONDS
        # So that a client knows that it is heard, also when there is nothing to tell.
        yield b": listening\n\n"
        while True:
            for document in found:
                yield _event(document)
            known |= {each.id for each in found if each.status not in FINISHED}
            known -= {each.id for each in found if each.status in FINISHED}
            while not await subscription.wait(LOOK_AROUND_SECONDS):
                if state.lifecycle.draining or time.monotonic() > ends_at:
                    return
            await asyncio.sleep(PAUSE_SECONDS)
            changed, everything = subscription.take()
            wanted = changed | known if everything else changed

            async def look(connection: Connection, wanted: set[UUID] = wanted) -> list[Document]:
                return await documents.find_all(connection, list(wanted), identity)

            found = await _patiently(state, look)
            for gone in (wanted & known) - {each.id for each in found}:
                known.discard(gone)
                yield _deleted(gone)
            if everything:
                seen = {each.id for each in found}
                found += [
                    each for each in await _patiently(state, look_at_all) if each.id not in seen
                ]


async def _patiently(state: State, look: Callable[[Connection], Awaitable[T]]) -> T:
    """Look again until the database answers; the stream's heartbeat goes on meanwhile."""
    while True:
        try:
            async with state.pool.connection() as connection:
                return await look(connection)
        except TRANSIENT:
            await asyncio.sleep(LOOK_AROUND_SECONDS)


def _event(document: Document) -> bytes:
    return event(DocumentOut.model_validate(document).model_dump(mode="json"), name="document")


def _deleted(document_id: UUID) -> bytes:
    return event({"id": str(document_id)}, name="deleted")


def _tell(_: Exception) -> bytes:
    return event({"title": "Internal error"}, name="error")
