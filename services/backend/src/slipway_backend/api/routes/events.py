"""Progress of documents as server-sent events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request

from slipway_backend import documents
from slipway_backend.access import Identity
from slipway_backend.api.identity import CONFIRM_SECONDS, Reader, Standing, StandingDependency
from slipway_backend.api.models.documents import DocumentOut
from slipway_backend.api.problems import as_problem, describe, problem_content
from slipway_backend.api.routes.documents import get_visible
from slipway_backend.api.state import State, StateDependency
from slipway_backend.api.streams import MEDIA_TYPE, EventStream, event
from slipway_backend.changes import Subscription
from slipway_backend.database import TRANSIENT, Connection
from slipway_backend.documents import Document

router = APIRouter(tags=["documents"])
FINISHED = ("ready", "failed")
# Between two looks of one stream; what changes meanwhile is told once.
PAUSE_SECONDS = 0.2
LOOK_AROUND_SECONDS = 1.0
# A client connects again by itself, and is asked again who it is.
LONGEST_SECONDS = 3600.0
MOST = 500
# A change is dated by the start of its transaction, which was not seen before its end.
LONGEST_CHANGE = timedelta(minutes=1)
T = TypeVar("T")

_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `document` with the document, `deleted` with its `id`, `error`.",
        "content": {MEDIA_TYPE: {}},
    }
}


@router.get(
    "/v1/documents/{document_id}/events",
    response_class=EventStream,
    responses={**describe(401, 403, 404, 422, 429, 503), **_EVENTS},
)
async def document_events(
    document_id: UUID,
    request: Request,
    state: StateDependency,
    identity: Reader,
    standing: StandingDependency,
) -> EventStream:
    """Tell of one document now and whenever it changes, until it is ready, failed or deleted."""
    told = _follow_one(_Following(state, standing), document_id, identity)
    return EventStream(told, lambda error: _failed(request, error))


@router.get(
    "/v1/events",
    response_class=EventStream,
    responses={**describe(401, 403, 422, 429, 503), **_EVENTS},
)
async def events(
    request: Request, state: StateDependency, identity: Reader, standing: StandingDependency
) -> EventStream:
    """Tell of every unfinished document that you may see, and of each whenever it changes.

    What began and ended while the database was lost is told of afterwards.
    Ends with an `error` when your session, key or right to read ends.
    """
    told = _follow_all(_Following(state, standing), identity)
    return EventStream(told, lambda error: _failed(request, error))


class _Following:
    """When one stream looks again, and when it is over."""

    def __init__(self, state: State, standing: Standing) -> None:
        self.state = state
        self._standing = standing
        self._ends_at = time.monotonic() + LONGEST_SECONDS

    @property
    def over(self) -> bool:
        """Whether the client has to connect again."""
        return self.state.lifecycle.draining or time.monotonic() > self._ends_at

    async def changed(self, subscription: Subscription) -> bool:
        """Wait for a change that may be told; False when the stream is over.

        Raises a problem when who follows may not any more: that is asked before anything is told,
        and every CONFIRM_SECONDS while nothing is.
        """
        confirmed_at = time.monotonic()
        while not self.over:
            changed = await subscription.wait(LOOK_AROUND_SECONDS)
            if changed:
                await asyncio.sleep(PAUSE_SECONDS)
            if changed or time.monotonic() - confirmed_at >= CONFIRM_SECONDS:
                await self._patiently(self._standing.confirm)
                confirmed_at = time.monotonic()
            if changed:
                return True
        return False

    async def look(self, look: Callable[[Connection], Awaitable[T]]) -> T:
        """Look until the database answers; the stream's heartbeat goes on meanwhile."""

        async def with_connection() -> T:
            async with self.state.pool.connection() as connection:
                return await look(connection)

        return await self._patiently(with_connection)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await work()
            except TRANSIENT:
                if self.over:
                    raise
                await asyncio.sleep(LOOK_AROUND_SECONDS)


async def _follow_one(
    following: _Following, document_id: UUID, identity: Identity
) -> AsyncGenerator[bytes, None]:
    state = following.state
    with state.changes.subscribe(document_id, owner=identity.user_id) as subscription:
        async with state.pool.connection() as connection:
            document: Document | None = await get_visible(connection, document_id, identity)
        told: Document | None = None
        while document is not None:
            if document != told:
                yield _event(document)
                told = document
            if document.status in FINISHED:
                return
            if not await following.changed(subscription):
                return
            subscription.take()
            document = await following.look(
                lambda connection: documents.find(connection, document_id, identity)
            )
        yield _deleted(document_id)


async def _follow_all(following: _Following, identity: Identity) -> AsyncGenerator[bytes, None]:
    state = following.state
    looked_at: datetime | None = None

    async def look_at_all(connection: Connection) -> list[Document]:
        nonlocal looked_at
        since = looked_at and looked_at - LONGEST_CHANGE
        found, looked_at = await documents.find_moving(connection, identity, since, limit=MOST)
        return found

    with state.changes.subscribe(owner=identity.user_id) as subscription:
        async with state.pool.connection() as connection:
            found = await look_at_all(connection)
        known: set[UUID] = set()
        # So that a client knows that it is heard, also when there is nothing to tell.
        yield b": listening\n\n"
        while True:
            for document in found:
                yield _event(document)
                looked_at = (
                    document.updated_at
                    if looked_at is None
                    else max(looked_at, document.updated_at)
                )
            known |= {each.id for each in found if each.status not in FINISHED}
            known -= {each.id for each in found if each.status in FINISHED}
            if not await following.changed(subscription):
                return
            changed, everything = subscription.take()
            wanted = changed | known if everything else changed

            async def look(connection: Connection, wanted: set[UUID] = wanted) -> list[Document]:
                return await documents.find_all(connection, list(wanted), identity)

            found = await following.look(look)
            for gone in (wanted & known) - {each.id for each in found}:
                known.discard(gone)
                yield _deleted(gone)
            if everything:
                seen = {each.id for each in found}
                found += [each for each in await following.look(look_at_all) if each.id not in seen]


def _event(document: Document) -> bytes:
    return event(DocumentOut.model_validate(document).model_dump(mode="json"), name="document")


def _deleted(document_id: UUID) -> bytes:
    return event({"id": str(document_id)}, name="deleted")


def _failed(request: Request, error: Exception) -> bytes:
    return event(problem_content(request, as_problem(error)), name="error")
