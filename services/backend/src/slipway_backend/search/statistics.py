"""What PostgreSQL's own statistics say about the stored passages, kept for a while."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import anyio

from slipway_backend.database import Connection, Pool

REFRESH_SECONDS = 60.0
# Words that are not among the most common ones are rarer than the rarest of those; half as common
# is a guess, which errs towards reading less.
UNLISTED = 0.5

STATISTICS = """
SELECT
    (SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = 'chunks'::regclass)::float8 AS total,
    words.most_common_elems::text::text[] AS words,
    words.most_common_elem_freqs::float8[] AS frequencies,
    sets.most_common_vals::text::integer[] AS sets,
    sets.most_common_freqs::float8[] AS set_frequencies
FROM (VALUES (1)) AS one
LEFT JOIN pg_stats AS words ON words.schemaname = current_schema()
    AND words.tablename = 'chunks' AND words.attname = 'lexemes'
LEFT JOIN pg_stats AS sets ON sets.schemaname = current_schema()
    AND sets.tablename = 'chunks' AND sets.attname = 'embedding_set_id'
"""


@dataclass(frozen=True)
class Statistics:
    """How many passages there are, and how many of them hold a word; estimates of ANALYZE.

    ``unlisted`` is the frequency of every word that is not in ``frequencies``.
    """

    total: float = 0.0
    frequencies: Mapping[str, float] = field(default_factory=dict)
    unlisted: float = 0.0
    sets: Mapping[int, float] = field(default_factory=dict)

    def frequency(self, lexeme: str) -> float:
        """The part of all passages that hold a lexeme, 0 to 1."""
        return self.frequencies.get(lexeme, self.unlisted)

    def of_set(self, set_id: int) -> float:
        """Passages of one embedding set."""
        return self.total * self.sets.get(set_id, 0.0 if self.sets else 1.0)


async def read_statistics(connection: Connection) -> Statistics:
    """Read the statistics; without any yet, everything counts as rare."""
    cursor = await connection.execute(STATISTICS)
    row = await cursor.fetchone()
    if row is None:
        return Statistics()
    words, frequencies = row["words"] or [], row["frequencies"] or []
    listed = dict(zip(words, frequencies, strict=False))
    # After one frequency per word come the least, the greatest, and that of NULL.
    least = frequencies[len(words)] if len(frequencies) > len(words) else 0.0
    sets = dict(zip(row["sets"] or [], row["set_frequencies"] or [], strict=False))
    return Statistics(row["total"], listed, least * UNLISTED, sets)


class CachedStatistics:
    """The statistics, read again when they are older than a minute."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = anyio.Lock()
        self._read_at = -REFRESH_SECONDS
        self._statistics = Statistics()

    async def get(self) -> Statistics:
        """Return the statistics; raise what the database raises when it cannot be read."""
        if time.monotonic() - self._read_at >= REFRESH_SECONDS:
            async with self._lock:
                if time.monotonic() - self._read_at >= REFRESH_SECONDS:
                    async with self._pool.connection() as connection:
                        self._statistics = await read_statistics(connection)
                    self._read_at = time.monotonic()
        return self._statistics
