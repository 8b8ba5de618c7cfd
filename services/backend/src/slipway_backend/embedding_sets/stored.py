"""Embedding sets in the database: the statements about the table, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from slipway_backend.database import Connection
from slipway_backend.embedding import Fingerprint
from slipway_backend.embedding_sets import EmbeddingSet

State = Literal["building", "serving", "kept", "discarding"]
HNSW = "WITH (m = 16, ef_construction = 128)"


@dataclass(frozen=True)
class StoredSet:
    """One row of the table.

    ``report`` is the last comparison with the set that was served then. A row that the release
    before wrote is not ``signed``: it names model and dimension only.
    """

    id: int
    fingerprint: Fingerprint
    signed: bool
    state: State
    created_at: datetime
    switched_at: datetime | None
    report: dict[str, Any] | None

    def is_of(self, fingerprint: Fingerprint) -> bool:
        """Whether the set's vectors come from an embedder of this fingerprint."""
        if self.signed:
            return self.fingerprint == fingerprint
        found = self.fingerprint
        return (found.provider, found.model, found.dimension) == (
            fingerprint.provider,
            fingerprint.model,
            fingerprint.dimension,
        )


async def all_sets(connection: Connection) -> list[StoredSet]:
    """Return every set, oldest number first."""
    cursor = await connection.execute(
        "SELECT id, provider, runtime, model, precision, dimension, weights_sha256, fingerprint,"
        " state, created_at, switched_at, report FROM embedding_sets ORDER BY id"
    )
    return [_stored(row) for row in await cursor.fetchall()]


async def is_served(connection: Connection, *sets: EmbeddingSet, hold: bool = False) -> bool:
    """Whether one of these sets is served; with ``hold`` it stays so until the commit."""
    plain = "SELECT id, model, dimension FROM embedding_sets WHERE state = 'serving'"
    held = "SELECT id, model, dimension FROM embedding_sets WHERE state = 'serving' FOR SHARE"
    cursor = await connection.execute(held if hold else plain)
    row = await cursor.fetchone()
    return row is not None and (row["id"], row["model"], row["dimension"]) in {
        (each.id, each.embedder.name, each.dimension) for each in sets
    }


async def add_first(connection: Connection, fingerprint: Fingerprint) -> None:
    """Let an empty database serve this embedder's set; nothing happens where there is a set."""
    async with connection.transaction():
        # Processes of a release start together.
        await connection.execute("LOCK TABLE embedding_sets IN SHARE ROW EXCLUSIVE MODE")
        if await all_sets(connection):
            return
        await _insert(connection, 1, fingerprint, "serving")
        # The schema's index for this number expects the builtin model's vectors.
        cursor = await connection.execute(
            "SELECT pg_get_indexdef(to_regclass(%s)) AS definition", [index_name(1)]
        )
        row = await cursor.fetchone()
        if row and f"halfvec({fingerprint.dimension:d})" in (row["definition"] or ""):
            return
        await connection.execute("DROP INDEX IF EXISTS chunks_embedding_1")
        await connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
        await connection.execute(index_statement(1, fingerprint.dimension).encode())


async def add_building(connection: Connection, fingerprint: Fingerprint) -> int:
    """Add a set that is to be built, or take up the one there is; return its number.

    A set that was in the building before is kept as far as it came. Raises LookupError when the
    embedder's set is the one that is served, or is being discarded.
    """
    async with connection.transaction():
        await connection.execute("LOCK TABLE embedding_sets IN SHARE ROW EXCLUSIVE MODE")
        sets = await all_sets(connection)
        found = next((each for each in sets if each.is_of(fingerprint)), None)
        if found is not None and found.state in ("serving", "discarding"):
            raise LookupError(found.state)
        await connection.execute(
            "UPDATE embedding_sets SET state = 'kept' WHERE state = 'building' AND id <> %s",
            [found.id if found else 0],
        )
        if found is not None:
            await connection.execute(
                "UPDATE embedding_sets SET state = 'building', report = NULL WHERE id = %s",
                [found.id],
            )
            return found.id
        # Never 1 again: the release before takes that number for its own.
        number = max([1, *(each.id for each in sets)]) + 1
        await _insert(connection, number, fingerprint, "building")
        return number


async def sign(connection: Connection, number: int, fingerprint: Fingerprint) -> None:
    """Write what the release before left out about its set."""
    await connection.execute(
        "UPDATE embedding_sets SET fingerprint = %s, provider = %s, runtime = %s, precision = %s,"
        " weights_sha256 = %s,"
        " switched_at = coalesce(switched_at, created_at) WHERE id = %s AND fingerprint IS NULL",
        [
            str(fingerprint),
            fingerprint.provider,
            fingerprint.runtime,
            fingerprint.precision,
            fingerprint.weights_sha256,
            number,
        ],
    )


def index_name(number: int) -> str:
    """The name of a set's vector index."""
    return f"chunks_embedding_{number:d}"


def index_statement(number: int, dimension: int, *, concurrently: bool = False) -> str:
    """The statement that makes a set's vector index."""
    how = "CONCURRENTLY " if concurrently else ""
    return (
        f"CREATE INDEX {how}{index_name(number)} ON chunks"
        f" USING hnsw ((embedding::halfvec({dimension:d})) halfvec_cosine_ops) {HNSW}"
        f" WHERE embedding_set_id = {number:d}"
    )


async def _insert(
    connection: Connection, number: int, fingerprint: Fingerprint, state: State
) -> None:
    await connection.execute(
        "INSERT INTO embedding_sets (id, provider, runtime, model, precision, dimension,"
        " weights_sha256, fingerprint, state, switched_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, CASE WHEN %s THEN now() END)",
        [
            number,
            fingerprint.provider,
            fingerprint.runtime,
            fingerprint.model,
            fingerprint.precision,
            fingerprint.dimension,
            fingerprint.weights_sha256,
            str(fingerprint),
            state,
            state == "serving",
        ],
    )


def _stored(row: dict[str, Any]) -> StoredSet:
    precision = row["precision"]
    if row["fingerprint"] is None:
        # That release had the builtin model only, with its precision in the name.
        precision = row["model"].rpartition("-")[2]
    return StoredSet(
        row["id"],
        Fingerprint(
            row["model"],
            row["provider"],
            row["runtime"],
            precision,
            row["dimension"],
            row["weights_sha256"],
        ),
        row["fingerprint"] is not None,
        row["state"],
        row["created_at"],
        row["switched_at"],
        row["report"],
    )
