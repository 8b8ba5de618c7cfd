from __future__ import annotations

import struct
from uuid import UUID

import numpy
import pytest

from slipway_backend.chunk_rows import FIELDS, ROWS, Place, binary_rows
from slipway_backend.chunking import Chunk

PLACE = Place(UUID(int=1), collection_id=2, version=3, language=12345)


def chunk(position: int) -> Chunk:
    return Chunk(position, None, "Ferries", "The ferry leaves.", 4)


def test_rows_come_in_messages_of_a_bounded_number_between_header_and_trailer() -> None:
    chunks = [chunk(position) for position in range(2 * ROWS + 1)]
    vectors = numpy.zeros((len(chunks), 8), dtype=numpy.float32)
    header, *messages, trailer = binary_rows(PLACE, 1, chunks, vectors)
    assert header.startswith(b"PGCOPY\n\xff\r\n\x00")
    assert trailer == b"\xff\xff"
    rows = [message.count(PLACE.document_id.bytes) for message in messages]
    assert rows == [ROWS, ROWS, 1]
    assert all(message.startswith(struct.pack(">h", FIELDS)) for message in messages)


def test_a_vector_is_its_dimension_and_half_floats() -> None:
    vectors = numpy.array([[1.0, -0.5]], dtype=numpy.float32)
    _, row, _ = binary_rows(PLACE, 1, [chunk(0)], vectors)
    assert row.endswith(struct.pack(">ihhee", 8, 2, 0, 1.0, -0.5))


def test_a_vector_too_few_is_an_error_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="2 chunks but 1 vectors"):
        next(binary_rows(PLACE, 1, [chunk(0), chunk(1)], numpy.zeros((1, 2), numpy.float32)))
