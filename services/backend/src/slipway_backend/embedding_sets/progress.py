"""How far each embedding set is, for people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from slipway_backend.database import Connection
from slipway_backend.embedding_sets import stored
from slipway_backend.embedding_sets.stored import StoredSet

IndexState = Literal["valid", "invalid", "none"]

# A document is served once it has passages; a set is complete when it has them all.
FIGURES = """
SELECT count(DISTINCT document_id) AS documents, count(*) AS chunks
FROM chunks WHERE embedding_set_id = %s
"""
SERVED = """
SELECT count(*) AS documents FROM documents
WHERE served_version IS NOT NULL
    AND EXISTS (SELECT FROM chunks WHERE chunks.document_id = documents.id)
"""


@dataclass(frozen=True)
class Progress:
    """How much of all served documents a set has."""

    documents: int
    served: int
    chunks: int
    index: IndexState


async def served_documents(connection: Connection) -> int:
    """Return how many documents search can find."""
    cursor = await connection.execute(SERVED)
    row = await cursor.fetchone()
    return int(row["documents"]) if row else 0


async def index_state(connection: Connection, number: int) -> IndexState:
    """Return whether a set's index can be used; an invalid one is left of an interruption."""
    cursor = await connection.execute(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
        [stored.index_name(number)],
    )
    row = await cursor.fetchone()
    if row is None:
        return "none"
    return "valid" if row["indisvalid"] else "invalid"


async def progress_of(connection: Connection, number: int) -> Progress:
    """Return how far a set is."""
    cursor = await connection.execute(FIGURES, [number])
    row = await cursor.fetchone()
    documents, chunks = (row["documents"], row["chunks"]) if row else (0, 0)
    served = await served_documents(connection)
    return Progress(documents, served, chunks, await index_state(connection, number))


async def describe(connection: Connection) -> list[str]:
    """Return lines that tell of every set."""
    sets = await stored.all_sets(connection)
    if not sets:
        return ["There is no embedding set yet: the first start of the service makes one."]
    lines = []
    for row in sets:
        figures = await progress_of(connection, row.id)
        lines.append(
            f"{_title(row)}: {figures.documents} of {figures.served} documents, "
            f"{figures.chunks} passages, index {figures.index}"
        )
        if row.report:
            lines.append(f"     {row.report.get('summary', '')}")
    return lines


def _title(row: StoredSet) -> str:
    made = row.fingerprint
    return (
        f"{row.id:>3}  {row.state:<10}  {made.model} ({made.provider}, {made.runtime}, "
        f"{made.precision}, {made.dimension} dimensions)"
    )
