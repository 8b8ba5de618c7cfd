"""One version of a document from file to searchable passages.

Safe to run again at any time, from the start. Superseded and deleted versions end quietly.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from uuid import UUID

import anyio
import anyio.to_thread
import numpy
from numpy.typing import NDArray

from slipway_backend import background, contents, replicas, versions
from slipway_backend.chunking import Chunk, chunk_blocks
from slipway_backend.database import Pool, noted_processes
from slipway_backend.embedding import Embedder
from slipway_backend.embedding.openai import EmbedderBusy, EmbeddingFailed
from slipway_backend.embedding_sets import EmbeddingSet
from slipway_backend.embedding_sets.filling import takes_anything
from slipway_backend.embedding_sets.process import EmbeddingSets, ServedSetChanged
from slipway_backend.embedding_sets.stored import is_served
from slipway_backend.errors import DocumentError
from slipway_backend.files import FileStore
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.parsing import Limits, Parsed
from slipway_backend.parsing.sandbox import OutOfMemory, Parsers
from slipway_backend.progress import Progress
from slipway_backend.settings import Settings
from slipway_backend.versions import Passages, Superseded, Version

EMBEDDING_BATCH = 32
CORES = os.cpu_count() or 1


class TooMuchForLane(Exception):
    """A small document takes more time or memory than small ones may: the large lane has more."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.version = version


class Unavailable(Exception):
    """Something that every document needs is away; the message says what."""


def _one_per_core() -> anyio.CapacityLimiter:
    # Each call computes in its own thread; its waiting line serves the documents in turn.
    return anyio.CapacityLimiter(CORES)


@dataclass(frozen=True)
class Ingestion:
    """What ingesting needs, put together once per worker."""

    settings: Settings
    pool: Pool
    files: FileStore
    sets: EmbeddingSets
    metrics: Metrics
    parsers: Parsers
    embedding: anyio.CapacityLimiter = field(default_factory=_one_per_core)

    async def run(
        self, document_id: UUID, number: int | None = None, *, small: bool = False
    ) -> None:
        """Parse, chunk, embed and serve one version of a document; the newest by default.

        A document that cannot be read ends as failed with its reason. Raises TooMuchForLane for a
        ``small`` one that is not, and Unavailable for what says nothing about the document; other
        failures are raised for the queue to try again.
        """
        try:
            async with self.pool.connection() as connection:
                if number is None:
                    number = await versions.newest_version(connection, document_id)
                version = await versions.begin(connection, document_id, number)
            await self._ingest(version, small=small)
        except Superseded:
            self.metrics.ingested.labels("gone").inc()
            get_logger().info("document_gone", document_id=str(document_id), version=number)
        except DocumentError as error:
            await self.give_up(document_id, number, str(error))

    async def _ingest(self, version: Version, *, small: bool) -> None:
        started = time.monotonic()
        progress = Progress(self.pool, version, self.metrics)
        try:
            targets = await self.sets.writing()
        except EmbeddingFailed as error:
            raise Unavailable(str(error)) from error
        async with progress.stage("parse"):
            parsed = await self._parse(version, small=small)
        async with progress.stage("chunk"):
            chunks = await anyio.to_thread.run_sync(self._chunk, parsed, targets[0].embedder)
        progress.found(
            pages=parsed.pages, chunks=len(chunks) * len(targets), skipped=parsed.skipped
        )
        async with progress.stage("embed"):
            vectors = await self._vectors(version, targets, chunks, progress)
        passages = Passages(parsed.media_type, parsed.pages, parsed.language, chunks, vectors)
        async with progress.stage("store"):
            stored = [each for each in targets if each.id in vectors]
            replaced = await self._serve(version, passages, stored, progress)
        self.metrics.ingested.labels("ready").inc()
        get_logger().info(
            "document_ready",
            document_id=str(version.document_id),
            version=version.version,
            chunks=len(chunks),
            pages=parsed.pages,
            skipped=len(parsed.skipped),
            seconds=round(time.monotonic() - started, 3),
            **noted_processes(),
        )
        if replaced is not None and replaced != version.sha256:
            async with self.pool.connection() as connection:
                await contents.remove_unused(connection, self.files, [replaced])

    async def give_up(self, document_id: UUID, number: int | None, reason: str) -> None:
        """Mark a version as failed with its reason, unless it was deleted or superseded."""
        try:
            async with self.pool.connection() as connection:
                if number is None:
                    number = await versions.newest_version(connection, document_id)
                await versions.fail(connection, document_id, number, reason)
        except Superseded:
            get_logger().info("document_gone", document_id=str(document_id), version=number)
            return
        self.metrics.ingested.labels("failed").inc()
        get_logger().warning(
            "document_failed", document_id=str(document_id), version=number, reason=reason
        )

    async def _parse(self, version: Version, *, small: bool) -> Parsed:
        path = self.files.path(version.sha256)
        if not path.exists():
            # A volume may be missing or still on its way.
            raise Unavailable(f"There is no file {path}.")
        patience = self.settings.small_parser_seconds if small else None
        try:
            async with asyncio.timeout(patience):
                return await self.parsers.parse(path, version.filename, self._limits(small=small))
        except TimeoutError:
            raise TooMuchForLane(version) from None
        except OutOfMemory:
            if small:
                raise TooMuchForLane(version) from None
            raise

    def _chunk(self, parsed: Parsed, embedder: Embedder) -> list[Chunk]:
        return chunk_blocks(
            parsed.blocks,
            embedder.count_tokens_many,
            size=self.settings.chunk_tokens,
            overlap=self.settings.chunk_overlap_tokens,
        )

    async def _vectors(
        self,
        version: Version,
        targets: list[EmbeddingSet],
        chunks: list[Chunk],
        progress: Progress,
    ) -> dict[int, NDArray[numpy.float32]]:
        """Return the vectors for the served set, and for others as far as they can be had."""
        served, *others = targets
        try:
            vectors = {served.id: await self._embed(served, chunks, progress)}
        except EmbeddingFailed as error:
            if isinstance(error, EmbedderBusy) or not await takes_anything(served):
                raise Unavailable(str(error)) from error
            raise
        for each in others:
            try:
                vectors[each.id] = await self._embed(each, chunks, progress)
            except EmbeddingFailed as error:
                # Nobody searches there yet, and whoever builds it looks for what it lacks.
                progress.leave_out(len(chunks))
                get_logger().warning(
                    "document_not_embedded",
                    document_id=str(version.document_id),
                    set=each.id,
                    reason=str(error),
                )
        return vectors

    async def _embed(
        self, target: EmbeddingSet, chunks: list[Chunk], progress: Progress
    ) -> NDArray[numpy.float32]:
        """Return one vector per passage; one document keeps at most one batch per core waiting."""
        vectors = numpy.empty((len(chunks), target.embedder.dimension), dtype=numpy.float32)
        # Passages of like length together: what fills up the shorter ones costs as much as text.
        order = sorted(range(len(chunks)), key=lambda place: chunks[place].tokens)

        async def embed(start: int) -> int:
            places = order[start : start + EMBEDDING_BATCH]
            texts = [chunks[place].text_to_embed() for place in places]
            vectors[places] = await anyio.to_thread.run_sync(
                target.embedder.embed, texts, limiter=self.embedding, abandon_on_cancel=True
            )
            return len(texts)

        starts = iter(range(0, len(chunks), EMBEDDING_BATCH))
        waiting: set[asyncio.Task[int]] = set()
        try:
            while True:
                while len(waiting) < CORES and (start := next(starts, None)) is not None:
                    waiting.add(asyncio.create_task(embed(start)))
                if not waiting:
                    return vectors
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                await progress.embedded(sum(task.result() for task in done))
        finally:
            await background.end(*waiting)

    async def _serve(
        self, version: Version, passages: Passages, targets: list[EmbeddingSet], progress: Progress
    ) -> str | None:
        """Put the passages in place in one transaction that holds the embedding sets."""
        replicated = bool(self.settings.database_replica_url)
        async with self.pool.connection() as connection:
            async with connection.transaction():
                if not await is_served(connection, *targets, hold=True):
                    raise ServedSetChanged
                replaced = await versions.serve(connection, version, passages, progress.figures())
                if replicated:
                    await replicas.expect_ready(connection, version.document_id)
            if replicated:
                await replicas.remember_ready(connection, version.document_id)
        return replaced

    def _limits(self, *, small: bool) -> Limits:
        large_memory, small_memory = (
            self.settings.parser_memory_bytes,
            self.settings.small_parser_memory_bytes,
        )
        return Limits(
            memory_bytes=min(small_memory, large_memory) if small else large_memory,
            seconds=self.settings.parser_seconds,
            expanded_bytes=self.settings.max_expanded_bytes,
            pages=self.settings.max_pages,
            text_characters=self.settings.max_text_characters,
        )
