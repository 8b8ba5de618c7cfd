"""The brake on guessing passwords, in the database so that every process counts the same."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from uuid import UUID

from slipway_backend.database import Connection
from slipway_backend.security import sha256

WINDOW_SECONDS = 60
# One person's slips, those of an office behind one address, and those of many addresses that try
# one name. The last of these does not count where that user has logged in before, or strangers
# could lock anybody out.
FAILURES_OF_ONE = 5
FAILURES_OF_ADDRESS = 50
FAILURES_OF_USER = 20
KNOWN_DAYS = 90
KNOWN_ADDRESSES = 100
# More than one failure adds, so that the table shrinks while it is in use.
REMOVED_AT_ONCE = 150


@dataclass(frozen=True)
class Caller:
    """Whose failures count together: a user name's from an address, the address's, the name's."""

    one: str
    address: str
    user: str

    @classmethod
    def of(cls, address: str, username: str) -> Caller:
        """The keys of an address and a user name; what was typed is never stored."""
        near = _network(address)
        return cls(
            sha256(f"one\n{near}\n{username}"),
            sha256(f"address\n{near}"),
            sha256(f"user\n{username}"),
        )


def _network(address: str) -> str:
    """The address, or for IPv6 the network that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


async def seconds_to_wait(connection: Connection, caller: Caller) -> int:
    """Whole seconds until this caller may try again; 0 when it may now."""
    cursor = await connection.execute(
        """
        SELECT coalesce(max(extract(epoch FROM failed_at - clock_timestamp()) + %(window)s), 0)
            AS seconds
        FROM unnest(%(keys)s::text[], %(free)s::integer[]) AS asked (key, free)
        CROSS JOIN LATERAL (
            SELECT failed_at FROM login_failures WHERE key_sha256 = asked.key
            ORDER BY failed_at DESC OFFSET asked.free - 1 LIMIT 1) AS failure
        WHERE key <> %(user)s
            OR NOT EXISTS (SELECT FROM login_addresses WHERE key_sha256 = %(one)s)
        """,
        {
            "window": WINDOW_SECONDS,
            "one": caller.one,
            "user": caller.user,
            "keys": [caller.one, caller.address, caller.user],
            "free": [FAILURES_OF_ONE, FAILURES_OF_ADDRESS, FAILURES_OF_USER],
        },
    )
    row = await cursor.fetchone()
    return max(0, math.ceil(row["seconds"])) if row else 0


async def failed(connection: Connection, caller: Caller) -> None:
    """Remember one failed login, and forget some that count no more."""
    await connection.execute(
        "INSERT INTO login_failures (key_sha256) VALUES (%s), (%s), (%s)",
        [caller.one, caller.address, caller.user],
    )
    await forget_old(connection, limit=REMOVED_AT_ONCE)


async def succeeded(connection: Connection, caller: Caller, user_id: UUID) -> None:
    """Forget the failures of this user from this address, and remember the two together.

    Belongs into a transaction. Failures of the address, and of the name elsewhere, still count.
    """
    await connection.execute("DELETE FROM login_failures WHERE key_sha256 = %s", [caller.one])
    await connection.execute(
        "INSERT INTO login_addresses (key_sha256, user_id) VALUES (%s, %s)"
        " ON CONFLICT (key_sha256) DO UPDATE SET user_id = excluded.user_id, used_at = now()",
        [caller.one, user_id],
    )
    await connection.execute(
        "DELETE FROM login_addresses WHERE key_sha256 IN (SELECT key_sha256 FROM login_addresses"
        " WHERE user_id = %s ORDER BY used_at DESC OFFSET %s)",
        [user_id, KNOWN_ADDRESSES],
    )


async def forget_addresses(connection: Connection) -> int:
    """Remove what was remembered of logins long ago; return how much."""
    cursor = await connection.execute(
        "DELETE FROM login_addresses WHERE used_at < now() - make_interval(days => %s)",
        [KNOWN_DAYS],
    )
    return cursor.rowcount


async def forget_old(connection: Connection, *, limit: int = 100_000) -> int:
    """Remove failures that count no more; return how many."""
    cursor = await connection.execute(
        "DELETE FROM login_failures WHERE ctid = ANY (ARRAY(SELECT ctid FROM login_failures"
        " WHERE failed_at < clock_timestamp() - make_interval(secs => %s) LIMIT %s"
        " FOR UPDATE SKIP LOCKED))",
        [WINDOW_SECONDS, limit],
    )
    return cursor.rowcount
