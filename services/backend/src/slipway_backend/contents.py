"""Which contents of the file store are in use, and removing those that are not any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio.to_thread

from slipway_backend.database import Connection
from slipway_backend.files import FileStore

_USED = "EXISTS (SELECT FROM documents WHERE sha256 = content OR served_sha256 = content)"


async def lock(connection: Connection, sha256: str) -> None:
    """Hold the content's lock until the transaction ends, so that upload and delete take turns."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"file:{sha256}"]
    )


async def unused(connection: Connection, sha256s: Sequence[str]) -> list[str]:
    """Return those contents that no document has, neither its newest nor its served version."""
    cursor = await connection.execute(
        f"SELECT content FROM unnest(%s::text[]) AS content WHERE NOT {_USED}",  # nosec B608
        [list(sha256s)],
    )
    return [row["content"] for row in await cursor.fetchall()]


async def remove_unused(connection: Connection, files: FileStore, sha256s: Iterable[str]) -> int:
    """Remove the files of those contents that no document has; return how many.

    To be called after the commit that let go of them: a file without a row is rubbish that the
    sweep removes, a row without a file is a loss.
    """
    removed = 0
    for sha256 in sha256s:
        async with connection.transaction():
            await lock(connection, sha256)
            if await unused(connection, [sha256]):
                await anyio.to_thread.run_sync(files.remove, sha256)
                removed += 1
    return removed


async def any_document(connection: Connection) -> bool:
    """Whether the database has any document at all."""
    cursor = await connection.execute("SELECT EXISTS (SELECT FROM documents) AS some")
    row = await cursor.fetchone()
    return bool(row and row["some"])
