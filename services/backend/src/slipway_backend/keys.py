"""API keys in the database: stored as digests, each a part of what its user may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from slipway_backend.access import READABLE, Identity, Scope
from slipway_backend.database import Connection
from slipway_backend.errors import Problem
from slipway_backend.security import SHOWN_CHARACTERS, TokenRefused, new_api_key, sha256

KEYS_PER_USER = 100
# The edge tries another backend at once, within EDGE_ANSWER_SECONDS.
REPEAT_SECONDS = 600
# A scope holds those before it.
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")


@dataclass(frozen=True)
class Key:
    """An API key without its secret."""

    id: UUID
    user_id: UUID
    username: str
    name: str
    prefix: str
    scopes: list[Scope]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


_SELECT = """
SELECT api_keys.id, user_id, username, api_keys.name, prefix, scopes,
    CASE WHEN api_keys.collections IS NOT NULL THEN ARRAY(
        SELECT collections.name FROM collections
        WHERE collections.id = ANY (api_keys.collections) ORDER BY 1) END AS collections,
    api_keys.created_at, expires_at, revoked_at, last_used_at
FROM api_keys JOIN users ON users.id = user_id
"""

# A key that leaks must neither tell of its user's other keys nor revoke them.
_IN_REACH = """
(%(everyone)s OR user_id = %(asking)s AND (%(made_with)s::uuid IS NULL OR api_keys.id IN (
    WITH RECURSIVE family AS (
        SELECT %(made_with)s::uuid AS id
        UNION SELECT made.id FROM api_keys AS made JOIN family ON made.made_with = family.id)
    SELECT id FROM family)))
"""


def _reach(identity: Identity, everyone: bool) -> dict[str, Any]:
    """Values for the keys of oneself; asked with a key, that one and those made with it."""
    with_key = None if identity.may("admin") else identity.api_key_id
    return {"everyone": everyone, "asking": identity.user_id, "made_with": with_key}


async def identify(connection: Connection, key: str) -> tuple[Identity, datetime | None]:
    """Return whom an API key speaks for and when it was last used; raise TokenRefused."""
    cursor = await connection.execute(
        """
        SELECT api_keys.id, user_id, username, role, scopes, collections, last_used_at,
            (written_lsn - '0/0'::pg_lsn)::bigint AS written_position,
            disabled_at IS NOT NULL AS disabled,
            revoked_at IS NOT NULL AS revoked,
            coalesce(expires_at <= now(), false) AS expired
        FROM api_keys JOIN users ON users.id = user_id WHERE sha256 = %s
        """,
        [sha256(key)],
    )
    row = await cursor.fetchone()
    if row is None:
        raise TokenRefused("This API key is not known.")
    if row["disabled"]:
        raise TokenRefused("This user is disabled: ask an administrator.")
    if row["revoked"] or row["expired"]:
        over = "was revoked" if row["revoked"] else "has expired"
        raise TokenRefused(f"This API key {over}: make a new one with POST /v1/keys.")
    limited = row["collections"]
    identity = Identity(
        row["user_id"],
        row["username"],
        row["role"],
        scopes=frozenset(row["scopes"]),
        collections=None if limited is None else tuple(limited),
        api_key_id=row["id"],
        written_position=row["written_position"],
    )
    return identity, row["last_used_at"]


async def make(
    connection: Connection,
    identity: Identity,
    *,
    name: str,
    scope: Scope,
    collections: Sequence[str] | None,
    expires_at: datetime | None,
    request_id: str | None = None,
) -> tuple[Key, str]:
    """Make a key for oneself; return it and its secret, which is stored nowhere.

    The same request once more, as the edge sends it when an answer was lost on the way, takes the
    place of the key that nobody got.

    Raises a problem when it would allow more than its maker has: a scope, a collection, or a life
    longer than the key it is made with. Belongs into a transaction.
    """
    if not identity.may(scope):
        raise Problem(
            403,
            "Not allowed",
            f"A key with the scope {scope} would allow more than you may: choose a lesser one.",
        )
    if scope == "admin" and (collections is not None or identity.collections is not None):
        raise Problem(
            422,
            "Scope and collections",
            "Who administers reaches every collection: leave out the collections, or the scope.",
        )
    limit = await _collection_ids(connection, identity, collections)
    expires_at = await _shortened(connection, identity, expires_at)
    await _hold(connection, identity.user_id)
    if request_id is not None:
        await connection.execute(
            "DELETE FROM api_keys WHERE user_id = %s AND made_with IS NOT DISTINCT FROM %s"
            " AND request_id = %s AND name = %s AND last_used_at IS NULL"
            " AND created_at > now() - make_interval(secs => %s)",
            [identity.user_id, identity.api_key_id, request_id, name, REPEAT_SECONDS],
        )
    await _refuse_too_many(connection, identity.user_id)
    secret = new_api_key()
    cursor = await connection.execute(
        "INSERT INTO api_keys (user_id, made_with, name, prefix, sha256, scopes, collections,"
        " expires_at, request_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id",
        [
            identity.user_id,
            identity.api_key_id,
            name,
            secret[:SHOWN_CHARACTERS],
            sha256(secret),
            list(SCOPES[: SCOPES.index(scope) + 1]),
            limit,
            expires_at,
            request_id,
        ],
    )
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # nosec B101 - an INSERT that did not fail
    cursor = await connection.execute(f"{_SELECT} WHERE api_keys.id = %s", [row["id"]])
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101  # nosec B101
    return Key(**row), secret


async def _collection_ids(
    connection: Connection, identity: Identity, names: Sequence[str] | None
) -> list[int] | None:
    if names is None:
        return None if identity.collections is None else list(identity.collections)
    cursor = await connection.execute(
        f"SELECT id, name FROM collections WHERE name = ANY (%(names)s) AND id = {READABLE}",  # nosec B608
        {"names": list(names), **identity.parameters()},
    )
    found = {row["name"]: int(row["id"]) for row in await cursor.fetchall()}
    missing = sorted(set(names) - set(found))
    if missing:
        raise Problem(404, "No such collection", f"There is no collection {missing[0]!r}.")
    return sorted(found.values())


async def _shortened(
    connection: Connection, identity: Identity, expires_at: datetime | None
) -> datetime | None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise Problem(
            422, "Expired already", "The key would expire in the past: choose a later time."
        )
    if identity.api_key_id is None:
        return expires_at
    cursor = await connection.execute(
        "SELECT least(expires_at, %s) AS until FROM api_keys WHERE id = %s",
        [expires_at, identity.api_key_id],
    )
    row = await cursor.fetchone()
    return row["until"] if row else expires_at


async def _hold(connection: Connection, user_id: UUID) -> None:
    """Let a user make one key after the other."""
    await connection.execute("SELECT FROM users WHERE id = %s FOR UPDATE", [user_id])


async def _refuse_too_many(connection: Connection, user_id: UUID) -> None:
    cursor = await connection.execute(
        "SELECT count(*) AS live FROM api_keys WHERE user_id = %s AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > now())",
        [user_id],
    )
    row = await cursor.fetchone()
    if row and row["live"] >= KEYS_PER_USER:
        raise Problem(
            409, "Too many keys", f"You have {KEYS_PER_USER} keys: revoke one you do not need."
        )


async def listed(
    connection: Connection, identity: Identity, *, everyone: bool, limit: int, offset: int
) -> tuple[list[Key], int]:
    """Return keys in reach, newest first, or everyone's, and how many there are in all."""
    parameters: dict[str, Any] = {"limit": limit, "offset": offset, **_reach(identity, everyone)}
    where = f"WHERE {_IN_REACH}"
    cursor = await connection.execute(
        f"{_SELECT} {where} ORDER BY api_keys.created_at DESC, api_keys.id"  # nosec B608
        " LIMIT %(limit)s OFFSET %(offset)s",
        parameters,
    )
    found = [Key(**row) for row in await cursor.fetchall()]
    cursor = await connection.execute(
        f"SELECT count(*) AS total FROM api_keys {where}", parameters  # nosec B608
    )
    row = await cursor.fetchone()
    return found, int(row["total"]) if row else 0


async def revoke(connection: Connection, key_id: UUID, identity: Identity) -> str:
    """Revoke a key and those made with it; return its name.

    Raises a 404 problem when there is none in reach; administrators reach everybody's.
    """
    cursor = await connection.execute(
        f"SELECT name FROM api_keys WHERE id = %(id)s AND {_IN_REACH}",  # nosec B608
        {"id": key_id, **_reach(identity, everyone=identity.may("admin"))},
    )
    row = await cursor.fetchone()
    if row is None:
        raise Problem(404, "No such key", f"There is no key {key_id}.")
    await connection.execute(
        """
        WITH RECURSIVE family AS (
            SELECT id FROM api_keys WHERE id = %s
            UNION SELECT made.id FROM api_keys AS made JOIN family ON made.made_with = family.id)
        UPDATE api_keys SET revoked_at = now()
        FROM family WHERE api_keys.id = family.id AND revoked_at IS NULL
        """,
        [key_id],
    )
    return str(row["name"])
