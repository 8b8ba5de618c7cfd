"""Building a set beside the one that is served, and switching to it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from uuid import UUID

from psycopg.types.json import Jsonb

from slipway_backend.database import TRANSIENT, Connection, Pool
from slipway_backend.embedding_sets import EmbeddingSet, stored
from slipway_backend.embedding_sets.comparison import Question, Report, compare, sample
from slipway_backend.embedding_sets.filling import NOBODY, ensure_index, fill, missing
from slipway_backend.embedding_sets.process import EmbeddingSets
from slipway_backend.embedding_sets.progress import index_state
from slipway_backend.errors import Problem, StartRefused
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.settings import Settings

# Any fixed number does; whoever builds holds it.
BUILD_LOCK = 7_301_954_002
PAUSE_SECONDS = 5.0
# While uploads wait, building takes a quarter of one core's time.
GIVE_WAY = 3.0
# HNSW over halfvec holds no more (pgvector's documentation).
MAXIMUM_DIMENSION = 4000
# A document that cannot be embedded may be replaced, or its server's settings changed.
TRY_AGAIN_SECONDS = 600.0


class NotComplete(Exception):
    """The set lacks documents or a valid index."""


@dataclass(frozen=True)
class Builder:
    """What building needs, put together once per process."""

    settings: Settings
    pool: Pool
    sets: EmbeddingSets
    metrics: Metrics
    # When each document of a set that could not be embedded is tried again.
    _left: dict[tuple[int, UUID], float] = field(default_factory=dict)

    async def run(self) -> None:
        """Build what the settings want, in the background, until cancelled."""
        while True:
            try:
                await self.step()
            except StartRefused as refusal:
                get_logger().warning("embedding_set_not_built", cause=str(refusal))
            except (*TRANSIENT, Problem) as error:
                get_logger().warning("embedding_set_interrupted", cause=type(error).__name__)
            except Exception:
                # The process that builds ingests, too, and goes on with that whatever fails here.
                get_logger().exception("embedding_set_failed")
            await asyncio.sleep(PAUSE_SECONDS)

    async def step(self) -> None:
        """Repair the served set, then bring the wanted one as far as it comes and switch."""
        await self.sets.refresh()
        async with self.locked() as connection:
            if connection is None:
                return
            await self.complete(connection, await self.sets.serving(), give_way=True)
            target = await self.wanted(connection)
            if target is None:
                return
            failed = await self.complete(connection, target, give_way=True)
            if failed:
                get_logger().warning(
                    "embedding_set_incomplete",
                    set=target.id,
                    missing=len(failed),
                    command=f"slipway-backend embeddings switch --to {target.id} --without-missing",
                )
            if await missing(connection, target.id, NOBODY, 1):
                return
            row = await self._row(connection, target.id)
            if row.report is None:
                passed = (await self.judge(connection, target)).passed
            else:
                passed = bool(row.report["passed"])
            if passed:
                # A document may have come meanwhile: then the next step completes the set.
                with contextlib.suppress(NotComplete):
                    await switch(connection, target.id)
                await self.sets.refresh()

    async def wanted(self, connection: Connection) -> EmbeddingSet | None:
        """Return the wanted set if it is to be built now; a kept one waits for a command."""
        fingerprint = await self.sets.wanted_fingerprint()
        row = next(
            (each for each in await stored.all_sets(connection) if each.is_of(fingerprint)), None
        )
        if row is None:
            if fingerprint.dimension > MAXIMUM_DIMENSION:
                raise StartRefused(
                    f"{fingerprint.model} has {fingerprint.dimension} dimensions; an index holds "
                    f"at most {MAXIMUM_DIMENSION}: choose another model."
                )
            number = await stored.add_building(connection, fingerprint)
            get_logger().info("embedding_set_building", set=number, model=fingerprint.model)
            return EmbeddingSet(number, self.sets.wanted)
        return EmbeddingSet(row.id, self.sets.wanted) if row.state == "building" else None

    async def complete(
        self,
        connection: Connection,
        target: EmbeddingSet,
        *,
        give_way: bool = False,
        tell: Callable[[], None] = lambda: None,
    ) -> dict[UUID, str]:
        """Give a set all that is served, and its index; ``tell`` is called after each document.

        Returns the documents that could not be embedded with the reason. They are left alone for
        TRY_AGAIN_SECONDS, and missing from the set meanwhile.
        """
        failed: dict[UUID, str] = {}
        started = time.monotonic()
        leave = {
            each
            for (number, each), then in self._left.items()
            if number == target.id and then > started
        }
        async for document, reason in fill(connection, target, leave=leave):
            self._left.pop((target.id, document), None)
            if reason is not None:
                failed[document] = reason
                self._left[target.id, document] = time.monotonic() + TRY_AGAIN_SECONDS
            tell()
            if give_way and await _uploads_wait(connection):
                await asyncio.sleep((time.monotonic() - started) * GIVE_WAY)
            started = time.monotonic()
        await ensure_index(connection, target, megabytes=self.settings.index_memory_megabytes)
        return failed

    async def judge(
        self, connection: Connection, target: EmbeddingSet, labelled: list[Question] | None = None
    ) -> Report:
        """Compare a set with the served one, store and log the report."""
        served = await self.sets.serving()
        questions = [*await sample(connection, served.id, target.id), *(labelled or [])]
        report = await compare(self.pool, self.metrics, served, target, questions)
        await connection.execute(
            "UPDATE embedding_sets SET report = %s WHERE id = %s",
            [Jsonb(report.stored()), target.id],
        )
        log = get_logger()
        if report.passed:
            log.info("embedding_set_compared", set=target.id, report=report.summary)
        else:
            log.warning(
                "embedding_set_not_switched",
                set=target.id,
                report=report.summary,
                command=f"slipway-backend embeddings switch --to {target.id} --force",
            )
        return report

    @contextlib.asynccontextmanager
    async def locked(self) -> AsyncIterator[Connection | None]:
        """Hold the only right to build, over a connection of its own; None: another builds."""
        async with self.pool.connection() as connection:
            if not await take_lock(connection):
                yield None
                return
            try:
                yield connection
            finally:
                if not connection.broken:
                    await connection.execute("SELECT pg_advisory_unlock(%s)", [BUILD_LOCK])

    async def _row(self, connection: Connection, number: int) -> stored.StoredSet:
        return next(row for row in await stored.all_sets(connection) if row.id == number)


async def take_lock(connection: Connection) -> bool:
    """Take the only right to build, for this connection; False: another has it."""
    cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS held", [BUILD_LOCK])
    row = await cursor.fetchone()
    return bool(row and row["held"])


async def switch(connection: Connection, number: int, *, without: Collection[UUID] = ()) -> None:
    """Serve a complete set from now on, in one transaction; the earlier one is kept.

    Raises NotComplete when the index is missing, or a served document that is not one of those to
    go ``without``.
    """
    async with connection.transaction():
        # Ingestions hold these rows while they store, so none is half in when this goes on.
        await connection.execute("SELECT FROM embedding_sets ORDER BY id FOR NO KEY UPDATE")
        lacking = await missing(connection, number, NOBODY, len(without) + 1)
        if set(lacking) - set(without):
            raise NotComplete
        if await index_state(connection, number) != "valid":
            raise NotComplete
        await connection.execute(
            "UPDATE embedding_sets SET state = 'kept' WHERE state = 'serving' AND id <> %s",
            [number],
        )
        await connection.execute(
            "UPDATE embedding_sets SET state = 'serving', switched_at = now() WHERE id = %s",
            [number],
        )
    get_logger().info("embedding_set_switched", set=number)


async def _uploads_wait(connection: Connection) -> bool:
    cursor = await connection.execute(
        "SELECT FROM documents WHERE status IN ('queued', 'processing') LIMIT 1"
    )
    return await cursor.fetchone() is not None
