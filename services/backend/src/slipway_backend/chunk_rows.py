"""Passages on their way into the database: binary COPY, and putting them in place of others.

PostgreSQL's binary COPY format: https://www.postgresql.org/docs/17/sql-copy.html; a halfvec is its
dimension and an unused number, both of 16 bits, then IEEE 754 half floats, all big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy
from numpy.typing import NDArray

from slipway_backend.chunking import Chunk
from slipway_backend.database import Connection

COPY = (
    "COPY chunks (document_id, embedding_set_id, collection_id, version, position, page,"
    " heading, text, tokens, language, embedding) FROM STDIN (FORMAT binary)"
)
FIELDS = 11
# Rows per message: about 100 KB, so that neither side holds a whole document twice.
ROWS = 64
_HEADER = b"PGCOPY\n\xff\r\n\x00" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)


@dataclass(frozen=True)
class Place:
    """What all passages of one document share; ``language`` is the oid of a regconfig."""

    document_id: UUID
    collection_id: int
    version: int
    language: int


async def insert_chunks(
    connection: Connection,
    place: Place,
    embedding_set_id: int,
    chunks: Sequence[Chunk],
    vectors: NDArray[numpy.float32],
) -> None:
    """Add a document's passages for one embedding set; one vector per passage."""
    async with connection.cursor() as writer, writer.copy(COPY) as copy:
        for message in binary_rows(place, embedding_set_id, chunks, vectors):
            await copy.write(message)


def binary_rows(
    place: Place,
    embedding_set_id: int,
    chunks: Sequence[Chunk],
    vectors: NDArray[numpy.float32],
) -> Iterator[bytes]:
    """Yield the rows as messages of PostgreSQL's binary COPY format.

    Raises ValueError unless there are as many vectors as chunks.
    """
    if len(chunks) != len(vectors):
        raise ValueError(f"{len(chunks)} chunks but {len(vectors)} vectors")
    dimension = vectors.shape[1] if len(vectors) else 0
    head = b"".join(
        (
            struct.pack(">h", FIELDS),
            _field(place.document_id.bytes),
            _integer(embedding_set_id),
            _integer(place.collection_id),
            _integer(place.version),
        )
    )
    language = _field(struct.pack(">I", place.language))
    size = struct.pack(">ihh", 4 + 2 * dimension, dimension, 0)
    yield _HEADER
    for start in range(0, len(chunks), ROWS):
        halves = vectors[start : start + ROWS].astype(">f2")
        parts: list[bytes] = []
        for chunk, half in zip(chunks[start : start + ROWS], halves, strict=True):
            parts += (
                head,
                _integer(chunk.position),
                _integer(chunk.page),
                _field(chunk.heading.encode()),
                _field(chunk.text.encode()),
                _integer(chunk.tokens),
                language,
                size,
                half.tobytes(),
            )
        yield b"".join(parts)
    yield _TRAILER


def _field(value: bytes) -> bytes:
    return struct.pack(">i", len(value)) + value


def _integer(value: int | None) -> bytes:
    return _NULL if value is None else struct.pack(">ii", 4, value)
