"""The embedding sets that one process works with, followed as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio.to_thread

from slipway_backend import background
from slipway_backend.database import TRANSIENT, Connection, Pool
from slipway_backend.embedding import Embedder, Fingerprint
from slipway_backend.embedding.openai import EmbeddingFailed
from slipway_backend.embedding.provider import load_stored, load_unasked
from slipway_backend.embedding_sets import EmbeddingSet, stored
from slipway_backend.embedding_sets.stored import StoredSet
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger
from slipway_backend.settings import Settings

POLL_SECONDS = 2.0


class ServedSetChanged(Exception):
    """Another set is served than the ones that vectors were made for: make them again."""


class EmbeddingSets:
    """What this process wants, what the database serves, and what is being built.

    A process keeps the set it has until it can use the one that is served: searches go on, over
    rows that are kept, and no query meets vectors of another embedder.
    """

    def __init__(
        self,
        settings: Settings,
        pool: Pool,
        wanted: Embedder,
        *,
        load: Callable[[Settings, Fingerprint], Embedder | None] = load_stored,
    ) -> None:
        self.wanted = wanted
        self._settings = settings
        self._pool = pool
        self._load = load
        self._loaded: dict[Fingerprint, Embedder | None] = {}
        self._serving: EmbeddingSet | None = None
        self._building: EmbeddingSet | None = None
        self._obstacle = "The embedding sets were not looked at yet."
        self._refreshing = asyncio.Lock()

    async def serving(self) -> EmbeddingSet:
        """Return the set to search in. Raises a 503 problem when this process can use none."""
        if self._serving is None:
            raise Problem(503, "No embedding set", self._obstacle, headers={"Retry-After": "30"})
        return self._serving

    async def writing(self) -> list[EmbeddingSet]:
        """Return the sets that a new document's vectors go into now, the served one first.

        A process that cannot embed for the served set waits here until it can: another one may
        switch, and no document fails for it.
        """
        await self.refresh()
        while self._serving is None or self._obstacle:
            get_logger().warning("embedding_set_not_usable", cause=self._obstacle)
            await asyncio.sleep(POLL_SECONDS)
            await self.refresh()
        return [self._serving, *([self._building] if self._building else [])]

    async def obstacle(self, pool: Pool) -> str | None:
        """Why this process cannot work on the set that is served, in one sentence; or None."""
        async with pool.connection() as connection:
            current = [self._serving] if self._serving else []
            served = await stored.is_served(connection, *current)
        if not served:
            await self._look()
        return None if self._serving else self._obstacle

    async def refresh(self) -> None:
        """Look at the database's sets again; an empty database serves the wanted one from now on.

        Raises EmbeddingFailed when the wanted set must be asked for on a server that fails.
        """
        async with self._refreshing, self._pool.connection() as connection:
            sets = await stored.all_sets(connection)
            if not sets:
                await stored.add_first(connection, await self.wanted_fingerprint())
                sets = await stored.all_sets(connection)
            await self._follow(connection, sets)

    async def wanted_fingerprint(self) -> Fingerprint:
        """What the wanted embedder's vectors come from. Raises EmbeddingFailed as it does."""
        return await anyio.to_thread.run_sync(
            lambda: self.wanted.fingerprint, abandon_on_cancel=True
        )

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[None]:
        """Look at the database's sets, and follow them until the end of the block.

        A failing embedding server is waited for.
        """
        await self._look()
        async with background.running(self._watch()):
            yield

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self._look()
            except TRANSIENT as error:
                get_logger().warning("embedding_sets_not_read", cause=type(error).__name__)

    async def _look(self) -> None:
        try:
            await self.refresh()
        except EmbeddingFailed as error:
            get_logger().warning("embedding_sets_not_read", cause=str(error))
            self._obstacle = str(error)

    async def usable(self, row: StoredSet) -> EmbeddingSet | None:
        """The set with its embedder; None when this process cannot have the embedder."""
        key = row.fingerprint
        if key not in self._loaded:
            self._loaded[key] = await self._embedder_of(row)
        embedder = self._loaded[key]
        return EmbeddingSet(row.id, embedder) if embedder else None

    async def _embedder_of(self, row: StoredSet) -> Embedder | None:
        try:
            if row.is_of(await self.wanted_fingerprint()):
                return self.wanted
        except EmbeddingFailed:
            # Another server's vectors under the same name would be those of another model.
            unasked = await anyio.to_thread.run_sync(load_unasked, self._settings, row.fingerprint)
            if unasked is not None:
                return unasked
        return await anyio.to_thread.run_sync(self._load, self._settings, row.fingerprint)

    async def _follow(self, connection: Connection, sets: list[StoredSet]) -> None:
        by_state = {row.state: row for row in sets}
        served = by_state.get("serving")
        found = await self.usable(served) if served else None
        if found is not None and served is not None:
            if not served.signed:
                await stored.sign(connection, served.id, found.embedder.fingerprint)
            if self._serving != found:
                get_logger().info("embedding_set_served", set=found.id, model=found.embedder.name)
            self._serving, self._obstacle = found, ""
        else:
            self._obstacle = _obstacle(served)
            # Rows that are kept can be searched until another process can serve the new set.
            kept = {(row.id, row.fingerprint.model) for row in sets if row.state != "discarding"}
            current = self._serving
            if current is not None and (current.id, current.embedder.name) not in kept:
                self._serving = None
        building = by_state.get("building")
        self._building = await self.usable(building) if building else None


def _obstacle(served: StoredSet | None) -> str:
    if served is None:
        return "No embedding set is served: run `slipway-backend embeddings list`."
    return (
        f"The database serves embedding set {served.id} of {served.fingerprint.model} "
        f"({served.fingerprint.precision}, {served.fingerprint.dimension} dimensions), which this "
        "process cannot embed for: start the earlier model again or name it in the PREVIOUS_ "
        "settings, or switch with `slipway-backend embeddings build`."
    )
