"""Collections: every statement about them, limited to what its identity may touch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg

from slipway_backend.access import READABLE, WRITABLE, Identity
from slipway_backend.database import Connection
from slipway_backend.errors import Problem

DEFAULT = "default"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
SELECT = f"""
SELECT collections.id, name, description, language::text AS language, writable, documents, chunks,
    created_at, updated_at
FROM (SELECT *, id = {WRITABLE} AS writable FROM collections WHERE id = {READABLE}) AS collections,
LATERAL (
    SELECT count(*) AS documents, coalesce(sum(documents.chunks), 0) AS chunks
    FROM documents WHERE collection_id = collections.id
) AS counted
"""  # nosec B608


@dataclass(frozen=True)
class Collection:
    """A named set of documents that people are given access to, with what it holds."""

    id: int
    name: str
    description: str
    language: str
    writable: bool
    documents: int
    chunks: int
    created_at: datetime
    updated_at: datetime


async def readable(connection: Connection, identity: Identity) -> list[Collection]:
    """Return every collection that the identity may see, by name."""
    cursor = await connection.execute(f"{SELECT} ORDER BY name", identity.parameters())
    return [Collection(**row) for row in await cursor.fetchall()]


async def find(connection: Connection, name: str, identity: Identity) -> Collection | None:
    """Return a collection; None when it is not there or may not be seen."""
    cursor = await connection.execute(
        f"{SELECT} WHERE name = %(name)s", {"name": name, **identity.parameters()}
    )
    row = await cursor.fetchone()
    return Collection(**row) if row else None


async def get(connection: Connection, name: str, identity: Identity) -> Collection:
    """Return a collection; raise a 404 problem when it is not there or may not be seen."""
    found = await find(connection, name, identity)
    if found is None:
        raise missing(name)
    return found


async def hold_writable(
    connection: Connection,
    name: str,
    identity: Identity,
    *,
    strength: Literal["KEY SHARE", "UPDATE"] = "KEY SHARE",
) -> int:
    """Return the collection's id and keep it from being deleted until the transaction ends.

    With the strength UPDATE nothing is added to it meanwhile either.

    Raises Problem: 404 when it is not there or may not be seen, 403 when it may only be read.
    """
    cursor = await connection.execute(
        f"SELECT id FROM collections WHERE name = %(name)s AND id = {WRITABLE}"  # nosec B608
        f" FOR {strength}",
        {"name": name, **identity.parameters()},
    )
    row = await cursor.fetchone()
    if row is None:
        await get(connection, name, identity)
        raise read_only(name)
    return int(row["id"])


async def create(
    connection: Connection, name: str, description: str, language: str, identity: Identity
) -> None:
    """Add a collection; an editor gets the right to write to it. To be called in a transaction.

    Raises Problem: 403 for a key that is limited to collections, 409 when the name is taken, 422
    for a language that PostgreSQL has no full-text configuration for.
    """
    if identity.collections is not None:
        raise Problem(
            403,
            "Not allowed",
            "This API key is limited to some collections and cannot add another one.",
        )
    await _check_language(connection, language)
    cursor = await connection.execute(
        "INSERT INTO collections (name, description, language)"
        " VALUES (%s, %s, %s::text::regconfig) ON CONFLICT (name) DO NOTHING RETURNING id",
        [name, description, language],
    )
    row = await cursor.fetchone()
    if row is None:
        raise _name_taken(name)
    if identity.role == "editor":
        await connection.execute(
            "INSERT INTO grants (collection_id, user_id, access) VALUES (%s, %s, 'write')",
            [row["id"], identity.user_id],
        )


async def change(
    connection: Connection, name: str, changes: dict[str, Any], identity: Identity
) -> None:
    """Change name, description or language; what was ingested before keeps its language.

    To be called in a transaction. Raises Problem as `hold_writable` and `create` do, and 409 for a
    new name of the default collection.
    """
    collection_id = await hold_writable(connection, name, identity, strength="UPDATE")
    renamed = changes.get("name", name)
    if renamed != name and name == DEFAULT:
        raise Problem(
            409, "Default collection", "The default collection keeps its name: uploads go there."
        )
    if "language" in changes:
        await _check_language(connection, changes["language"])
    try:
        await connection.execute(
            "UPDATE collections SET name = %(name)s, updated_at = now(),"
            " description = coalesce(%(description)s, description),"
            " language = coalesce(%(language)s::text::regconfig, language) WHERE id = %(id)s",
            {
                "id": collection_id,
                "name": renamed,
                "description": changes.get("description"),
                "language": changes.get("language"),
            },
        )
    except psycopg.errors.UniqueViolation:
        raise _name_taken(renamed) from None


async def delete(
    connection: Connection, name: str, identity: Identity, *, force: bool
) -> frozenset[str]:
    """Delete a collection; with ``force`` also everything in it. To be called in a transaction.

    Returns the SHA-256 of the contents that its documents had. Raises Problem: 403, 404, and 409
    for the default collection or, without ``force``, one that holds documents.
    """
    # From here on no document comes in: an upload waits, and then finds no collection.
    collection_id = await hold_writable(connection, name, identity, strength="UPDATE")
    if name == DEFAULT:
        raise Problem(409, "Default collection", "The default collection stays: uploads go there.")
    cursor = await connection.execute(
        "SELECT count(*) AS held FROM documents WHERE collection_id = %s", [collection_id]
    )
    held = await cursor.fetchone()
    if held and held["held"] and not force:
        raise Problem(
            409,
            "Collection not empty",
            f"The collection {name!r} holds {held['held']} documents: delete them first, or "
            "repeat with `?force=true` to delete everything in it.",
        )
    cursor = await connection.execute(
        "WITH gone AS (DELETE FROM documents WHERE collection_id = %s"
        " RETURNING sha256, served_sha256, job_id), jobs AS (DELETE FROM procrastinate_jobs"
        " WHERE id IN (SELECT job_id FROM gone) AND status = 'todo')"
        " SELECT sha256, served_sha256 FROM gone",
        [collection_id],
    )
    gone = await cursor.fetchall()
    await connection.execute("DELETE FROM collections WHERE id = %s", [collection_id])
    return frozenset(sha256 for each in gone for sha256 in each.values() if sha256 is not None)


def missing(name: str) -> Problem:
    """A 404 problem, the same for what is not there and what may not be seen."""
    return Problem(404, "No such collection", f"There is no collection {name!r}.")


def read_only(name: str) -> Problem:
    """A 403 problem."""
    return Problem(
        403,
        "Not allowed",
        f"You may read the collection {name!r} but not write to it: ask an administrator.",
    )


def _name_taken(name: str) -> Problem:
    return Problem(409, "Name taken", f"The name {name!r} is taken: choose another one.")


async def _check_language(connection: Connection, language: str) -> None:
    cursor = await connection.execute("SELECT cfgname FROM pg_ts_config ORDER BY cfgname")
    known = [row["cfgname"] for row in await cursor.fetchall()]
    if language not in known:
        raise Problem(422, "Unknown language", f"Choose one of the languages {', '.join(known)}.")
