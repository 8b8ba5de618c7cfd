"""Grants in the database: which users and groups may read or write a collection."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

import psycopg

from slipway_backend.access import READABLE, WRITABLE, Identity
from slipway_backend.database import Connection
from slipway_backend.errors import Problem

Access = Literal["read", "write"]

_SELECT = """
SELECT grants.id, grants.user_id, users.username, grants.group_id, groups.name AS group,
    grants.access, grants.created_at
FROM grants LEFT JOIN users ON users.id = grants.user_id
    LEFT JOIN groups ON groups.id = grants.group_id
"""


@dataclass(frozen=True)
class Grant:
    """What a user, or every member of a group, may do in a collection."""

    id: UUID
    user_id: UUID | None
    username: str | None
    group_id: UUID | None
    group: str | None
    access: Access
    created_at: datetime


async def collection_id(connection: Connection, name: str) -> int:
    """Return the id of a collection, for administrators; raise a 404 problem."""
    cursor = await connection.execute("SELECT id FROM collections WHERE name = %s", [name])
    row = await cursor.fetchone()
    if row is None:
        raise Problem(404, "No such collection", f"There is no collection {name!r}.")
    return int(row["id"])


async def listed(connection: Connection, collection: int) -> list[Grant]:
    """Return a collection's grants, oldest first."""
    cursor = await connection.execute(
        f"{_SELECT} WHERE grants.collection_id = %s ORDER BY grants.created_at, grants.id",
        [collection],
    )
    return [Grant(**row) for row in await cursor.fetchall()]


async def give(
    connection: Connection,
    collection: int,
    *,
    user_id: UUID | None,
    group_id: UUID | None,
    access: Access,
) -> Grant:
    """Grant access in place of what was granted before; raise a 404 problem for nobody."""
    try:
        cursor = await connection.execute(
            "INSERT INTO grants (collection_id, user_id, group_id, access) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (collection_id, user_id, group_id) DO UPDATE SET access = excluded.access"
            " RETURNING id",
            [collection, user_id, group_id, access],
        )
    except psycopg.errors.ForeignKeyViolation:
        whom = f"user {user_id}" if user_id else f"group {group_id}"
        raise Problem(404, "Nobody to grant to", f"There is no {whom}.") from None
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # nosec B101 - an INSERT that did not fail
    cursor = await connection.execute(f"{_SELECT} WHERE grants.id = %s", [row["id"]])
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # nosec B101
    return Grant(**row)


async def take(connection: Connection, collection: int, grant_id: UUID) -> None:
    """Take a grant back; raise a 404 problem when there is none."""
    cursor = await connection.execute(
        "DELETE FROM grants WHERE id = %s AND collection_id = %s", [grant_id, collection]
    )
    if not cursor.rowcount:
        raise Problem(404, "No such grant", f"There is no grant {grant_id} in this collection.")


async def allowed(connection: Connection, identity: Identity) -> tuple[list[str], list[str]]:
    """Return the names of the collections that one may read, and of those that one may write."""
    cursor = await connection.execute(
        f"SELECT name, id = {WRITABLE} AS writable FROM collections"  # nosec B608
        f" WHERE id = {READABLE} ORDER BY name",
        identity.parameters(),
    )
    rows = await cursor.fetchall()
    readable = [row["name"] for row in rows if identity.may("read")]
    writable = [row["name"] for row in rows if row["writable"] and identity.may("write")]
    return readable, writable
