"""The audit log: who did what to which collections, never what was asked or what was written.

A change and its entry are one transaction. Reads go through a buffer that is written at least once
a second, so a killed process loses at most the last second of them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from slipway_backend import background
from slipway_backend.access import Identity
from slipway_backend.database import Connection, Pool
from slipway_backend.logs import get_logger

Level = Literal["off", "writes", "all"]
Outcome = Literal["ok", "refused", "failed"]
FLUSH_SECONDS = 0.5
BUFFERED = 10_000
BATCH = 1000
LAST_FLUSH_SECONDS = 5.0
# Keys in use are told about in rows of their own, so that a request costs no write.
KEY_SECONDS = 60
_COLUMNS = (
    "at, user_id, username, api_key_id, action, collections, object, outcome, address, request_id,"
    " details"
)
# Only those that are asked for stand in a statement: PostgreSQL may keep one plan for all values of
# its parameters, and with a condition that may be none it could use no index.
_CONDITIONS = {
    "before": "id < %(before)s",
    "username": "username = %(username)s",
    "action": "(action = %(action)s OR action LIKE replace(%(action)s, '_', '\\_') || '.%%')",
    "collection": "%(collection)s = ANY (collections)",
    "object": "object = %(object)s",
    "outcome": "outcome = %(outcome)s",
    "since": "at >= %(since)s",
    "until": "at < %(until)s",
}


@dataclass
class Trail:
    """What the log will say about the request in hand."""

    level: Level = "all"
    request_id: str | None = None
    address: str | None = None
    identity: Identity | None = None
    action: str = ""
    collections: Sequence[str] = ()
    object: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    written: Outcome | None = None


_trail: ContextVar[Trail | None] = ContextVar("audit_trail", default=None)


def begin(trail: Trail) -> None:
    """Make this the trail of the task in hand and of those it starts."""
    _trail.set(trail)


def note(
    *,
    action: str | None = None,
    identity: Identity | None = None,
    collections: Sequence[str] | None = None,
    object: str | UUID | None = None,
    **details: Any,
) -> None:
    """Tell more about the request in hand: numbers and names, never words of people."""
    trail = _trail.get()
    if trail is None:
        return
    trail.action = action or trail.action
    trail.identity = identity or trail.identity
    trail.collections = trail.collections if collections is None else collections
    trail.object = trail.object if object is None else str(object)
    trail.details.update(details)


async def write(
    connection: Connection,
    action: str,
    *,
    identity: Identity | None = None,
    collections: Sequence[str] | None = None,
    object: str | UUID | None = None,
    outcome: Outcome = "ok",
    **details: Any,
) -> None:
    """Write an entry in the connection's transaction; call it beside the change it tells of."""
    note(action=action, identity=identity, collections=collections, object=object, **details)
    trail = _trail.get() or Trail(
        identity=identity,
        action=action,
        collections=collections or (),
        object=None if object is None else str(object),
        details=details,
    )
    if trail.level == "off":
        return
    entry = make_entry(trail, outcome)
    places = ", ".join(["%s"] * len(entry))
    await connection.execute(
        f"INSERT INTO audit ({_COLUMNS}) VALUES ({places})",  # nosec B608
        entry,
    )
    trail.written = outcome


def make_entry(trail: Trail, outcome: Outcome) -> tuple[object, ...]:
    """The row that a trail becomes."""
    identity = trail.identity
    return (
        datetime.now(UTC),
        identity.user_id if identity else None,
        identity.username if identity else None,
        identity.api_key_id if identity else None,
        trail.action,
        list(trail.collections),
        trail.object,
        outcome,
        trail.address,
        trail.request_id,
        Jsonb(trail.details),
    )


class AuditLog:
    """Entries that wait to be written, and the API keys that were used meanwhile."""

    def __init__(self, pool: Pool, level: Level = "all", *, buffered: int = BUFFERED) -> None:
        self.level = level
        self._pool = pool
        self._buffered = buffered
        self._entries: deque[tuple[object, ...]] = deque()
        self._keys: dict[UUID, datetime] = {}
        self._flushing = asyncio.Lock()

    @property
    def full(self) -> bool:
        """Whether nothing more may be answered before entries are written."""
        return len(self._entries) >= self._buffered

    def add(self, trail: Trail, outcome: Outcome) -> None:
        """Keep an entry until the next flush."""
        self._entries.append(make_entry(trail, outcome))

    def key_used(self, api_key_id: UUID, last_used_at: datetime | None) -> None:
        """Note that an API key is in use; at most one row is written for it in a minute."""
        now = datetime.now(UTC)
        if last_used_at is None or (now - last_used_at).total_seconds() >= KEY_SECONDS:
            self._keys[api_key_id] = now

    async def flush(self) -> None:
        """Write what waits, once; what cannot be written goes on waiting."""
        async with self._flushing:
            await self._write_entries()
            await self._write_keys()

    async def _write_entries(self) -> None:
        while self._entries:
            batch = [self._entries[index] for index in range(min(BATCH, len(self._entries)))]
            copy_statement = f"COPY audit ({_COLUMNS}) FROM STDIN"
            async with (
                self._pool.connection() as connection,
                connection.cursor() as cursor,
                cursor.copy(copy_statement) as copy,
            ):
                for entry in batch:
                    await copy.write_row(entry)
            for _ in batch:
                self._entries.popleft()

    async def _write_keys(self) -> None:
        if not self._keys:
            return
        used = dict(self._keys)
        async with self._pool.connection() as connection:
            await connection.execute(
                "UPDATE api_keys SET last_used_at = used.at"
                " FROM unnest(%s::uuid[], %s::timestamptz[]) AS used (id, at)"
                " WHERE api_keys.id = used.id AND (last_used_at IS NULL"
                " OR last_used_at < used.at - make_interval(secs => %s))",
                [list(used), list(used.values()), KEY_SECONDS / 2],
            )
        for key, moment in used.items():
            if self._keys.get(key) == moment:
                del self._keys[key]

    async def run(self) -> None:
        """Flush twice a second until cancelled; a lost database is waited for."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except Exception as error:
                get_logger().error(
                    "audit_not_written", cause=type(error).__name__, waiting=len(self._entries)
                )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[AuditLog]:
        """Flush in the background; what still waits at the end is written then."""
        try:
            async with background.running(self.run()):
                yield self
        finally:
            try:
                await asyncio.wait_for(self.flush(), LAST_FLUSH_SECONDS)
            except Exception as error:
                get_logger().error(
                    "audit_lost", cause=type(error).__name__, entries=len(self._entries)
                )


@dataclass(frozen=True)
class Entry:
    """One line of the log."""

    id: int
    at: datetime
    user_id: UUID | None
    username: str | None
    api_key_id: UUID | None
    action: str
    collections: list[str]
    object: str | None
    outcome: str
    address: str | None
    request_id: str | None
    details: dict[str, Any]


async def newest(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    filters: dict[str, Any],
) -> list[Entry]:
    """Return entries, newest first, those with a smaller id than ``before`` where given.

    ``filters``: username, action, collection, object, outcome, since, until; ``None`` is any.
    """
    asked = {
        name: value for name, value in {**filters, "before": before}.items() if value is not None
    }
    cursor = await connection.execute(newest_statement(*asked), {**asked, "limit": limit})
    return [Entry(**row) for row in await cursor.fetchall()]


def newest_statement(*asked: str) -> bytes:
    """The statement of `newest` with these filters, whose values and ``limit`` are parameters."""
    conditions = " AND ".join(_CONDITIONS[name] for name in asked) or "true"
    return (
        f"SELECT id, {_COLUMNS} FROM audit WHERE {conditions}"  # nosec B608
        " ORDER BY id DESC LIMIT %(limit)s"
    ).encode()


async def forget_before(connection: Connection, *, days: int, batch: int = 50_000) -> int:
    """Remove entries older than ``days``, ``batch`` of them at a time; return how many."""
    removed = 0
    while True:
        cursor = await connection.execute(
            "DELETE FROM audit WHERE id IN (SELECT id FROM audit"
            " WHERE at < now() - make_interval(days => %s) ORDER BY at LIMIT %s)",
            [days, batch],
        )
        removed += cursor.rowcount
        if cursor.rowcount < batch:
            return removed
