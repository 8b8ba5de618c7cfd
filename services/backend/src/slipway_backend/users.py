"""Users in the database: every statement about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from slipway_backend import sessions
from slipway_backend.access import Role
from slipway_backend.database import Connection
from slipway_backend.errors import Problem
from slipway_backend.security import password_complaint

COLUMNS = "id, username, role, disabled_at IS NOT NULL AS disabled, created_at, updated_at"


@dataclass(frozen=True)
class User:
    """A person or a program that logs in."""

    id: UUID
    username: str
    role: Role
    disabled: bool
    created_at: datetime
    updated_at: datetime


async def insert(connection: Connection, username: str, password_hash: str, role: Role) -> User:
    """Insert a user; raise a 409 problem when the name is taken."""
    try:
        cursor = await connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES (%s, %s, %s)"
            f" RETURNING {COLUMNS}",  # nosec B608
            [username, password_hash, role],
        )
    except psycopg.errors.UniqueViolation:
        raise Problem(
            409, "Name taken", f"There is a user {username!r} already: choose another name."
        ) from None
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # nosec B101 - an INSERT that did not fail
    return User(**row)


async def find(connection: Connection, user_id: UUID, *, hold: bool = False) -> User:
    """Return a user, locked with ``hold``; raise a 404 problem when there is none."""
    locking = " FOR UPDATE" if hold else ""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM users WHERE id = %s{locking}",  # nosec B608
        [user_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise Problem(404, "No such user", f"There is no user {user_id}.")
    return User(**row)


async def find_by_name(connection: Connection, username: str) -> User | None:
    """Return the user of a name."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM users WHERE username = %s",  # nosec B608
        [username],
    )
    row = await cursor.fetchone()
    return User(**row) if row else None


async def password_hash(connection: Connection, username: str) -> tuple[User | None, str | None]:
    """Return a user who may log in with the password's hash; nothing for any other name."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS}, password_hash FROM users"  # nosec B608
        " WHERE username = %s AND disabled_at IS NULL",
        [username],
    )
    row: dict[str, Any] | None = await cursor.fetchone()
    if row is None:
        return None, None
    stored = str(row.pop("password_hash"))
    return User(**row), stored


async def listed(connection: Connection, *, limit: int, offset: int) -> tuple[list[User], int]:
    """Return users by name, and how many there are in all."""
    cursor = await connection.execute(
        f"SELECT {COLUMNS} FROM users ORDER BY username LIMIT %s OFFSET %s",  # nosec B608
        [limit, offset],
    )
    found = [User(**row) for row in await cursor.fetchall()]
    cursor = await connection.execute("SELECT count(*) AS total FROM users")
    row = await cursor.fetchone()
    return found, int(row["total"]) if row else 0


async def update(
    connection: Connection,
    user_id: UUID,
    *,
    role: Role | None = None,
    disabled: bool | None = None,
    password_hash: str | None = None,
) -> User:
    """Change what is given. Disabling and a new password end the user's sessions.

    Raises a 409 problem when nobody would be left to administer. Belongs into a transaction.
    """
    user = await find(connection, user_id, hold=True)
    if (role not in (None, "admin") or disabled) and user.role == "admin" and not user.disabled:
        await _keep_an_administrator(connection, user_id)
    await connection.execute(
        """
        UPDATE users SET role = coalesce(%(role)s, role),
            password_hash = coalesce(%(password_hash)s, password_hash),
            disabled_at = CASE WHEN %(disabled)s::boolean IS NULL THEN disabled_at
                WHEN %(disabled)s THEN coalesce(disabled_at, now()) END,
            updated_at = now()
        WHERE id = %(user_id)s
        """,
        {"role": role, "password_hash": password_hash, "disabled": disabled, "user_id": user_id},
    )
    if disabled or password_hash is not None:
        await sessions.end_all(connection, user_id)
    return await find(connection, user_id)


async def delete(connection: Connection, user_id: UUID) -> User:
    """Delete a user with sessions, keys and grants; what they uploaded stays.

    Raises a 409 problem when nobody would be left to administer. Belongs into a transaction.
    """
    user = await find(connection, user_id, hold=True)
    if user.role == "admin" and not user.disabled:
        await _keep_an_administrator(connection, user_id)
    await connection.execute("DELETE FROM users WHERE id = %s", [user_id])
    return user


def refuse_weak(username: str, password: str) -> None:
    """Raise a 422 problem when a user must not have this password."""
    complaint = password_complaint(username, password)
    if complaint:
        raise Problem(422, "Password refused", complaint)


def refuse_kept(administrator: str, username: str, what: str) -> None:
    """Raise a 409 problem when this is the administrator of the settings.

    Releases log in as that one with the password of the settings, to prove themselves.
    """
    if username == administrator:
        raise Problem(
            409,
            "Kept by the settings",
            f"The {what} of {username!r} come from ADMIN_PASSWORD: change that and run "
            "`slipway-backend migrate`, or use a user of your own.",
        )


async def _keep_an_administrator(connection: Connection, leaving: UUID) -> None:
    # One after the other: two administrators who remove each other would both find the other there.
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('administrators', 0))")
    cursor = await connection.execute(
        "SELECT count(*) AS others FROM users"
        " WHERE role = 'admin' AND disabled_at IS NULL AND id <> %s",
        [leaving],
    )
    row = await cursor.fetchone()
    if row is None or not row["others"]:
        raise Problem(
            409,
            "Last administrator",
            "This is the last administrator who can log in: make another one first.",
        )
