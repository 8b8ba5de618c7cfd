"""Connections to PostgreSQL: the pool, its start-up options, and which failures may pass."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from slipway_backend.errors import StartRefused

Connection: TypeAlias = AsyncConnection[DictRow]
Pool: TypeAlias = AsyncConnectionPool[Connection]

# How long a request waits in line while others are being served.
BUSY_SECONDS = 5.0

# A misspelt vector setting only warns and falls back to "off", hence the start-up options are
# given once here and read back by `check_connection_settings`.
VECTOR_SETTINGS = {
    "hnsw.ef_search": "200",
    "hnsw.iterative_scan": "relaxed_order",
    "hnsw.max_scan_tuples": "40000",
    "hnsw.scan_mem_multiplier": "4",
}
# Requests take milliseconds: starting workers or compiling a plan costs tens of them.
PLANNER_SETTINGS = {"max_parallel_workers_per_gather": "0", "jit": "off"}
START_UP_SETTINGS = VECTOR_SETTINGS | PLANNER_SETTINGS
# How often a connection in use is asked whether its server takes writes: asking before each of a
# search's three uses was two fifths of its statements (docs/decisions/0013-query-path.md).
CHECK_SECONDS = 1.0
# Of a server that takes no writes any more, ends, or cannot be reached: a connection to it is of no
# use, whatever it answers next.
MOVED_ON = ("25006", "57P01", "57P02", "57P03")
CONNECTION_CLASS = "08"
TRANSIENT = (psycopg.OperationalError, PoolTimeout, psycopg.errors.ReadOnlySqlTransaction)

#: The server's processes that were asked in this context, as `member/process`.
_asked: ContextVar[set[str] | None] = ContextVar("asked", default=None)
_checked_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()


class PatientPool(AsyncConnectionPool[Connection]):
    """A pool that knows busy from gone.

    Its time-out is for a database that gives no connection at all. While connections are given out
    and come back, a caller waits in line up to BUSY_SECONDS.
    """

    _alive_at = 0.0
    #: Whether the database gave no connection at all when it was asked last.
    lost = False

    @contextlib.asynccontextmanager
    async def connection(
        self, timeout: float | None = None  # noqa: ASYNC109
    ) -> AsyncIterator[Connection]:
        """Give a connection; one whose server has moved on is not given to anybody again."""
        async with super().connection(timeout) as connection:
            try:
                yield connection
            except psycopg.Error as error:
                if has_moved_on(error):
                    await connection.close()
                raise

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109
        """Return a connection; raise PoolTimeout when there is none in time."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection = await super().getconn(timeout)
            except PoolTimeout:
                now = time.monotonic()
                gone = now - self._alive_at > self.timeout
                if now >= until or gone:
                    self.lost = gone
                    raise
            else:
                self.lost = False
                self._alive_at = time.monotonic()
                if (asked := _asked.get()) is not None:
                    asked.add(f"{connection.info.host}/{connection.pgconn.backend_pid}")
                return connection

    async def putconn(self, conn: Connection) -> None:
        """Take a connection back."""
        if not conn.closed:
            self._alive_at = time.monotonic()
        await super().putconn(conn)


def note_processes() -> None:
    """From now on note, in this context, which of the server's processes are asked."""
    _asked.set(set())


def noted_processes() -> dict[str, str]:
    """For a line of the log: the processes that were asked, whose own lines have their numbers.

    So a request is followed into the database without a round trip to tell it whose it is.
    """
    asked = _asked.get()
    return {"database": " ".join(sorted(asked))} if asked else {}


def has_moved_on(error: psycopg.Error) -> bool:
    """Whether an error says that its connection's server is not the one to ask any more."""
    state = error.sqlstate or ""
    return state in MOVED_ON or state.startswith(CONNECTION_CLASS)


def make_pool(
    conninfo: str, *, size: int, timeout: float = 0.8, for_reading: bool = False
) -> PatientPool:
    """Return a closed pool; ``timeout`` is how many seconds a database may give none.

    One that is ``for_reading`` may have connections to replicas, and can write nowhere.
    """
    settings = {
        **START_UP_SETTINGS,
        **({"default_transaction_read_only": "on"} if for_reading else {}),
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    keywords: dict[str, Any] = {
        "row_factory": dict_row,
        "connect_timeout": 5,
        # A server that vanished without a word, such as behind an unplugged cable, is one that is
        # gone: milliseconds without an acknowledgement, seconds of silence, seconds, times.
        "tcp_user_timeout": 700,
        "keepalives_idle": 5,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "application_name": "slipway-backend",
        "options": options,
    }
    return PatientPool(
        conninfo,
        connection_class=AsyncConnection[DictRow],
        kwargs=keywords,
        min_size=1,
        max_size=size,
        timeout=timeout,
        configure=_configure,
        # Short, because a longer back-off would be waited out after the database is back.
        reconnect_timeout=2.0,
        check=_check_replica if for_reading else _check,
        open=False,
    )


async def _configure(connection: Connection) -> None:
    await connection.set_autocommit(True)


async def _check(connection: Connection) -> None:
    """Raise OperationalError when the connection is of no use; the pool makes another for it."""
    if _was_checked(connection):
        return
    # A primary that was demoted keeps its connections, and answers them as a replica.
    cursor = await connection.execute("SHOW transaction_read_only")
    row = await cursor.fetchone()
    if row is None or row["transaction_read_only"] != "off":
        # The pool takes a connection back unless it is closed.
        await connection.close()
        raise psycopg.OperationalError("the server takes no writes any more")
    _checked_at[connection] = time.monotonic()


async def _check_replica(connection: Connection) -> None:
    if not _was_checked(connection):
        await AsyncConnectionPool.check_connection(connection)
        _checked_at[connection] = time.monotonic()


def _was_checked(connection: Connection) -> bool:
    """Whether a connection was good a moment ago and its server has said nothing since.

    A server that ends says so, which makes the socket readable: no round trip is needed to notice.
    """
    if time.monotonic() - _checked_at.get(connection, 0.0) >= CHECK_SECONDS:
        return False
    if connection.closed:
        return False
    waiting, _, _ = select.select([connection.fileno()], [], [], 0)
    return not waiting


async def check_connection_settings(pool: Pool) -> None:
    """Raise StartRefused unless the start-up settings are in force on the pool's connections."""
    async with pool.connection() as connection:
        # The extension's settings exist in a session only after its library is loaded.
        await connection.execute("SELECT '[1]'::vector")
        for name, wanted in START_UP_SETTINGS.items():
            cursor = await connection.execute("SELECT current_setting(%s, true) AS value", [name])
            row = await cursor.fetchone()
            found = row["value"] if row else None
            if found != wanted:
                raise StartRefused(
                    f"PostgreSQL has {name} = {found!r} instead of {wanted!r}: "
                    "pgvector 0.8 or newer is needed on the server."
                )


async def check_schema(pool: Pool) -> None:
    """Raise StartRefused when the database was never migrated."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT to_regclass('documents') AS present")
        row = await cursor.fetchone()
        if row is None or row["present"] is None:
            raise StartRefused(
                "The database has no Slipway schema yet: run `slipway-backend migrate` first."
            )
