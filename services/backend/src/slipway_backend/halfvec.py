"""Vectors as parameters of statements, in pgvector's binary form.

A halfvec is its dimension and an unused number, both of 16 bits, then IEEE 754 half floats, all
big-endian. Written as text, one took as long to make as a statement's other parameters together.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format


@dataclass(frozen=True)
class HalfVector:
    """A vector to be sent as a halfvec; the statement must cast its parameter to that type."""

    values: NDArray[numpy.float32]


class _HalfVectorDumper(Dumper):
    # No oid: it differs from database to database, and the cast tells it.
    format = Format.BINARY

    def dump(self, obj: HalfVector) -> bytes:
        return struct.pack(">hh", len(obj.values), 0) + obj.values.astype(">f2").tobytes()


psycopg.adapters.register_dumper(HalfVector, _HalfVectorDumper)
