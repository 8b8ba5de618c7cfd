"""One document from file to searchable passages. Safe to run again at any time, from the start."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import anyio.to_thread
import numpy
from numpy.typing import NDArray

from slipway_backend import documents
from slipway_backend.chunking import Chunk, chunk_blocks
from slipway_backend.database import Pool, compare_embedding_set
from slipway_backend.embedding import Embedder
from slipway_backend.errors import DocumentError
from slipway_backend.files import FileStore
from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.parsing import Limits
from slipway_backend.parsing.sandbox import parse
from slipway_backend.settings import Settings

EMBEDDING_BATCH = 32


@dataclass(frozen=True)
class Ingestion:
    """What ingesting needs, put together once per worker."""

    settings: Settings
    pool: Pool
    files: FileStore
    embedder: Embedder
    metrics: Metrics

    async def run(self, document_id: UUID) -> None:
        """Parse, chunk, embed and store one document.

        A document that cannot be read ends as failed with its reason. Other failures are raised,
        for the queue to try again.
        """
        log = get_logger()
        async with self.pool.connection() as connection:
            document = await documents.find(connection, document_id)
            if document is None:
                log.info("document_gone", document_id=str(document_id))
                return
            await documents.set_status(connection, document_id, "processing")
        started = time.monotonic()
        path = self.files.path(document.sha256)
        if not path.exists():
            # Not the document's fault: a volume may be missing or still on its way.
            raise FileNotFoundError(path)
        try:
            with self._timed("parse"):
                parsed = await parse(path, document.filename, self._limits())
            with self._timed("chunk"):
                chunks = await anyio.to_thread.run_sync(
                    lambda: chunk_blocks(
                        parsed.blocks,
                        self.embedder.count_tokens_many,
                        size=self.settings.chunk_tokens,
                        overlap=self.settings.chunk_overlap_tokens,
                    )
                )
            with self._timed("embed"):
                vectors = await self._embed(chunks)
        except DocumentError as error:
            await self.give_up(document_id, str(error))
            return
        with self._timed("store"):
            async with self.pool.connection() as connection, connection.transaction():
                await compare_embedding_set(
                    connection,
                    model=self.embedder.name,
                    dimension=self.embedder.dimension,
                    hold=True,
                )
                stored = await documents.replace_chunks(
                    connection,
                    document_id,
                    media_type=parsed.media_type,
                    pages=parsed.pages,
                    chunks=chunks,
                    vectors=vectors,
                )
        self.metrics.ingested.labels("ready" if stored else "gone").inc()
        log.info(
            "document_ready" if stored else "document_gone",
            document_id=str(document_id),
            chunks=len(chunks),
            pages=parsed.pages,
            seconds=round(time.monotonic() - started, 3),
        )

    async def give_up(self, document_id: UUID, reason: str) -> None:
        """Mark a document as failed with its reason, unless it was deleted meanwhile."""
        async with self.pool.connection() as connection:
            if not await documents.fail(connection, document_id, reason):
                get_logger().info("document_gone", document_id=str(document_id))
                return
        self.metrics.ingested.labels("failed").inc()
        get_logger().warning("document_failed", document_id=str(document_id), reason=reason)

    async def _embed(self, chunks: list[Chunk]) -> NDArray[numpy.float32]:
        batches = []
        for start in range(0, len(chunks), EMBEDDING_BATCH):
            texts = [chunk.text_to_embed() for chunk in chunks[start : start + EMBEDDING_BATCH]]
            batches.append(await anyio.to_thread.run_sync(self.embedder.embed, texts))
        return numpy.concatenate(batches)

    def _limits(self) -> Limits:
        return Limits(
            memory_bytes=self.settings.parser_memory_bytes,
            seconds=self.settings.parser_seconds,
            expanded_bytes=self.settings.max_expanded_bytes,
            pages=self.settings.max_pages,
            text_characters=self.settings.max_text_characters,
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        with self.metrics.stage_seconds.labels(stage).time():
            yield
