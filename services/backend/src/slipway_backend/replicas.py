"""Where reads go: to a replica while it is fresh enough for who asks, to the primary otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from psycopg_pool import PoolTimeout

from slipway_backend.access import Identity
from slipway_backend.database import TRANSIENT, Connection, Pool
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics

SAMPLE_SECONDS = 0.5
# A replica that did not answer is not asked again for so long, or every read would wait for it.
REST_SECONDS = 5.0

# Positions in the write-ahead log, as numbers of bytes.
PRIMARY_POSITION = "SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS position"
REPLICA_POSITION = (
    "SELECT pg_is_in_recovery() AS replica,"
    " (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::bigint AS position"
)
REMEMBER_WRITE = "UPDATE users SET written_lsn = pg_current_wal_lsn() WHERE id = %s"
REMEMBER_CHANGE_FOR_ALL = "UPDATE users SET written_lsn = pg_current_wal_lsn()"
# Where a commit will end is not known before it: no replica has this position.
EXPECT_READY = (
    "UPDATE users SET written_lsn = '7FFFFFFF/FFFFFFFF' WHERE id IN (SELECT users.id FROM users"
    " JOIN documents ON documents.owner_id = users.id WHERE documents.id = %s"
    " FOR NO KEY UPDATE OF users SKIP LOCKED)"
)
REMEMBER_READY = (
    "UPDATE users SET written_lsn = pg_current_wal_lsn() FROM documents"
    " WHERE documents.owner_id = users.id AND documents.id = %s"
)


class Reads:
    """Gives connections for reading.

    A replica's connection is given only when that replica has replayed everything that the primary
    had written ``lag_seconds`` ago and everything that the asking user wrote.
    """

    def __init__(
        self,
        primary: Pool,
        replica: Pool | None,
        metrics: Metrics,
        *,
        lag_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._primary = primary
        self._replica = replica
        self._metrics = metrics
        self._lag_seconds = lag_seconds
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._resting_until = 0.0

    async def watch(self) -> None:
        """Follow the primary's position until cancelled; returns at once without a replica."""
        while self._replica is not None:
            with contextlib.suppress(*TRANSIENT):
                await self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    async def sample(self) -> None:
        """Note the primary's position now. Raises what the database raises."""
        before = self._clock()
        async with self._primary.connection() as connection:
            self._samples.append((before, await _position(connection, PRIMARY_POSITION)))
        # The newest of those that are old enough says what a replica must have; older ones nothing.
        while len(self._samples) > 1 and self._is_old(self._samples[1]):
            self._samples.popleft()

    def connection(self, identity: Identity) -> AbstractAsyncContextManager[Connection]:
        """Give a connection that sees at least what ``identity`` has written."""
        if self._replica is None:
            self._metrics.reads.labels("primary", "no replica").inc()
            return self._primary.connection()
        return self._chosen(identity)

    @contextlib.asynccontextmanager
    async def _chosen(self, identity: Identity) -> AsyncIterator[Connection]:
        async with contextlib.AsyncExitStack() as stack:
            connection, reason = await self._from_replica(stack, identity)
            if connection is None:
                connection = await stack.enter_async_context(self._primary.connection())
            server = "primary" if reason else "replica"
            self._metrics.reads.labels(server, reason).inc()
            yield connection

    async def wrote(self, identity: Identity, *, access: bool = False) -> None:
        """Remember, after a commit, that this user's next reads must see it.

        With ``access``, who may read what was changed: everybody's next reads must see it.
        """
        if self._replica is None:
            return
        async with self._primary.connection() as connection:
            if access:
                await connection.execute(REMEMBER_CHANGE_FOR_ALL)
            else:
                await connection.execute(REMEMBER_WRITE, [identity.user_id])

    async def _from_replica(
        self, stack: contextlib.AsyncExitStack, identity: Identity
    ) -> tuple[Connection | None, str]:
        """Return a replica's connection, or None and why it must be the primary's."""
        if self._replica is None:
            return None, "no replica"
        if not self._samples or self._clock() < self._resting_until:
            return None, "unavailable"
        attempt = contextlib.AsyncExitStack()
        try:
            connection = await attempt.enter_async_context(self._replica.connection())
            cursor = await connection.execute(REPLICA_POSITION)
            row = await cursor.fetchone()
        except TRANSIENT as error:
            await attempt.aclose()
            self._resting_until = self._clock() + REST_SECONDS
            waited = isinstance(error, PoolTimeout)
            get_logger().warning("replica_unavailable", cause=type(error).__name__, waited=waited)
            return None, "unavailable"
        own = identity.written_position or 0
        needed = max(self._samples[0][1], own)
        # A node that is no replica any more was promoted: it has everything.
        if row is not None and (not row["replica"] or (row["position"] or 0) >= needed):
            stack.push_async_exit(attempt.pop_all().__aexit__)
            return connection, ""
        await attempt.aclose()
        return None, "own write" if own == needed else "lag"

    def _is_old(self, sample: tuple[float, int]) -> bool:
        return self._clock() - sample[0] >= self._lag_seconds


async def expect_ready(connection: Connection, document_id: UUID) -> None:
    """Have the owner read from the primary from this transaction's commit on.

    Who is told that the document is ready finds it at once. Ends with ``remember_ready``; without
    it, after a crash, with the owner's next write.
    """
    await connection.execute(EXPECT_READY, [document_id])


async def remember_ready(connection: Connection, document_id: UUID) -> None:
    """Remember, after the commit, that the owner's next reads must see the document."""
    await connection.execute(REMEMBER_READY, [document_id])


async def _position(connection: Connection, statement: str) -> int:
    cursor = await connection.execute(statement)
    row = await cursor.fetchone()
    return int(row["position"]) if row else 0
