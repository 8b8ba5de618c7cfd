"""Groups and their members in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from slipway_backend.database import Connection
from slipway_backend.errors import Problem


@dataclass(frozen=True)
class Group:
    """A group of users."""

    id: UUID
    name: str
    created_at: datetime
    members: int


@dataclass(frozen=True)
class Member:
    """A user in a group."""

    user_id: UUID
    username: str


_SELECT = """
SELECT id, name, created_at,
    (SELECT count(*) FROM memberships WHERE group_id = groups.id) AS members
FROM groups
"""


async def ensure(connection: Connection, name: str) -> tuple[Group, bool]:
    """Return the group of a name, made when it is not there, and whether it was made now."""
    cursor = await connection.execute(
        "INSERT INTO groups (name) VALUES (%s) ON CONFLICT (name) DO NOTHING", [name]
    )
    made = cursor.rowcount == 1
    cursor = await connection.execute(f"{_SELECT} WHERE name = %s", [name])
    row = await cursor.fetchone()
    if row is None:
        raise Problem(409, "Deleted meanwhile", "The group was just deleted: send this again.")
    return Group(**row), made


async def find(connection: Connection, group_id: UUID) -> Group:
    """Return a group; raise a 404 problem when there is none."""
    cursor = await connection.execute(f"{_SELECT} WHERE id = %s", [group_id])
    row = await cursor.fetchone()
    if row is None:
        raise Problem(404, "No such group", f"There is no group {group_id}.")
    return Group(**row)


async def listed(connection: Connection, *, limit: int, offset: int) -> tuple[list[Group], int]:
    """Return groups by name, and how many there are in all."""
    cursor = await connection.execute(
        f"{_SELECT} ORDER BY name LIMIT %s OFFSET %s", [limit, offset]
    )
    found = [Group(**row) for row in await cursor.fetchall()]
    cursor = await connection.execute("SELECT count(*) AS total FROM groups")
    row = await cursor.fetchone()
    return found, int(row["total"]) if row else 0


async def delete(connection: Connection, group_id: UUID) -> Group:
    """Delete a group with its grants; raise a 404 problem when there is none."""
    group = await find(connection, group_id)
    await connection.execute("DELETE FROM groups WHERE id = %s", [group_id])
    return group


async def members(connection: Connection, group_id: UUID) -> list[Member]:
    """Return a group's members by name."""
    cursor = await connection.execute(
        "SELECT user_id, username FROM memberships JOIN users ON users.id = user_id"
        " WHERE group_id = %s ORDER BY username",
        [group_id],
    )
    return [Member(**row) for row in await cursor.fetchall()]


async def add_member(connection: Connection, group_id: UUID, user_id: UUID) -> None:
    """Make a user a member, which they may be already; raise a 404 problem when one is missing."""
    try:
        await connection.execute(
            "INSERT INTO memberships (group_id, user_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [group_id, user_id],
        )
    except psycopg.errors.ForeignKeyViolation:
        raise Problem(
            404, "No such group or user", f"There is no group {group_id}, or no user {user_id}."
        ) from None


async def remove_member(connection: Connection, group_id: UUID, user_id: UUID) -> None:
    """Make a user no member any more; raise a 404 problem when they were none."""
    cursor = await connection.execute(
        "DELETE FROM memberships WHERE group_id = %s AND user_id = %s", [group_id, user_id]
    )
    if not cursor.rowcount:
        raise Problem(404, "No such member", f"User {user_id} is not in group {group_id}.")
