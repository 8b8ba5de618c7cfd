"""The brake on guessing passwords, in the database so that every process counts the same."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass

from slipway_backend.database import Connection
from slipway_backend.security import sha256

WINDOW_SECONDS = 60
# One person's slips, and those of an office behind one address.
FAILURES_OF_ONE = 5
FAILURES_OF_ADDRESS = 50
# More than one failure adds, so that the table shrinks while it is in use.
REMOVED_AT_ONCE = 100


@dataclass(frozen=True)
class Caller:
    """Whose failures count together: of a user name from an address, and of the address."""

    one: str
    address: str

    @classmethod
    def of(cls, address: str, username: str) -> Caller:
        """The keys of an address and a user name; what was typed is never stored."""
        near = _network(address)
        return cls(sha256(f"one\n{near}\n{username}"), sha256(f"address\n{near}"))


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
        """,
        {
            "window": WINDOW_SECONDS,
            "keys": [caller.one, caller.address],
            "free": [FAILURES_OF_ONE, FAILURES_OF_ADDRESS],
        },
    )
    row = await cursor.fetchone()
    return max(0, math.ceil(row["seconds"])) if row else 0


async def failed(connection: Connection, caller: Caller) -> None:
    """Remember one failed login, and forget some that count no more."""
    await connection.execute(
        "INSERT INTO login_failures (key_sha256) VALUES (%s), (%s)", [caller.one, caller.address]
    )
    await forget_old(connection, limit=REMOVED_AT_ONCE)


async def succeeded(connection: Connection, caller: Caller) -> None:
    """Forget the failures of this user from this address; those of the address still count."""
    await connection.execute("DELETE FROM login_failures WHERE key_sha256 = %s", [caller.one])


async def forget_old(connection: Connection, *, limit: int = 100_000) -> int:
    """Remove failures that count no more; return how many."""
    cursor = await connection.execute(
        "DELETE FROM login_failures WHERE ctid = ANY (ARRAY(SELECT ctid FROM login_failures"
        " WHERE failed_at < clock_timestamp() - make_interval(secs => %s) LIMIT %s"
        " FOR UPDATE SKIP LOCKED))",
        [WINDOW_SECONDS, limit],
    )
    return cursor.rowcount
