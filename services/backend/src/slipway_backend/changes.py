"""Which documents change: one listening connection per process, told to whoever waits here.

PostgreSQL says only which document changed. What it says now is read by each who waits, within what
they may see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger

CHANNEL = "slipway_documents"
# Ids that one subscription holds; with more, everything is to be looked at again.
MOST = 1000
# One user with several tokens must not take every stream of a process.
SHARES = 4
RECONNECT_SECONDS = 1.0
CHECK_SECONDS = 10.0


@dataclass
class Subscription:
    """Documents that changed since its owner looked last. Never grows beyond ``MOST`` ids."""

    only: UUID | None = None
    owner: UUID | None = None
    everything: bool = False
    changed: set[UUID] = field(default_factory=set)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, document_id: UUID) -> None:
        """Remember that a document changed."""
        if self.only not in (None, document_id):
            return
        if len(self.changed) >= MOST:
            self.tell_everything()
            return
        self.changed.add(document_id)
        self._told.set()

    def tell_everything(self) -> None:
        """Remember that any document may have changed."""
        self.everything = True
        self.changed.clear()
        self._told.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, but not longer than ``seconds``; say whether there was one."""
        try:
            await asyncio.wait_for(self._told.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def take(self) -> tuple[set[UUID], bool]:
        """Return the documents that changed, and whether any other may have, and forget them."""
        taken = self.changed, self.everything
        self.changed, self.everything = set(), False
        self._told.clear()
        return taken


class Changes:
    """Listens on a connection of its own, which it makes again whenever it is lost."""

    def __init__(self, conninfo: str, *, most: int) -> None:
        self._conninfo = conninfo
        self._most = most
        self._by_number: dict[int, Subscription] = {}

    @property
    def subscriptions(self) -> int:
        """How many wait for changes now."""
        return len(self._by_number)

    @contextmanager
    def subscribe(
        self, only: UUID | None = None, *, owner: UUID | None = None
    ) -> Iterator[Subscription]:
        """Be told of changes, of all documents or of one.

        Raises a 503 problem when this process has as many subscriptions as it may, and a 429
        problem when ``owner``, the user who asks, has a quarter of them.
        """
        if len(self._by_number) >= self._most:
            raise Problem(
                503,
                "Too many event streams",
                f"This instance serves {self._most} event streams already: try again later, or "
                "ask for the document's state now and then.",
                headers={"Retry-After": "30"},
            )
        own = sum(each.owner == owner for each in self._by_number.values())
        if owner is not None and own >= max(1, self._most // SHARES):
            raise Problem(
                429,
                "Too many event streams",
                f"You have {own} event streams open on this instance: close one of them.",
                headers={"Retry-After": "30"},
            )
        made = Subscription(only, owner)
        self._by_number[id(made)] = made
        try:
            yield made
        finally:
            del self._by_number[id(made)]

    async def listen(self) -> None:
        """Listen until cancelled, through losses of the database."""
        lost = False
        while True:
            try:
                async with await self._connect() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    if lost:
                        get_logger().info("listening_again")
                        lost = False
                    # Nobody told what happened while nobody listened.
                    for subscription in self._by_number.values():
                        subscription.tell_everything()
                    await self._pass_on(connection)
            except (psycopg.Error, OSError) as error:
                if not lost:
                    get_logger().warning("listening_interrupted", cause=type(error).__name__)
                lost = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _connect(self) -> AsyncConnection:
        return await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=5,
            keepalives_idle=5,
            keepalives_interval=1,
            keepalives_count=3,
            application_name="slipway-backend-changes",
        )

    async def _pass_on(self, connection: AsyncConnection) -> None:
        """Pass on what is heard until the connection is of no use any more."""
        while True:
            async for notice in connection.notifies(timeout=CHECK_SECONDS):
                document_id = UUID(notice.payload)
                for subscription in self._by_number.values():
                    subscription.tell(document_id)
            # A primary that was demoted keeps its connections and has nothing to tell.
            cursor = await connection.execute("SHOW transaction_read_only")
            row = await cursor.fetchone()
            if row is None or row[0] != "off":
                return
