"""Sessions in the database: begun by a login, prolonged by refresh tokens, ended at once."""

from __future__ import annotations

import hmac
import secrets
from uuid import UUID, uuid4

from slipway_backend.access import Identity
from slipway_backend.database import Connection
from slipway_backend.security import Claims, TokenKeys, TokenRefused, session_of, sha256

# A refresh whose answer was lost on the way is sent again; what comes later is another's copy.
REPEAT_SECONDS = 20
# A program that logs in for every request must not fill the table.
SESSIONS_PER_USER = 500
# Ended sessions answer like missing ones.
ENDED_DAYS = 1


async def identify(connection: Connection, claims: Claims) -> Identity:
    """Return whom an access token speaks for now; raise TokenRefused with the reason."""
    cursor = await connection.execute(
        """
        SELECT users.username, users.role,
            (users.written_lsn - '0/0'::pg_lsn)::bigint AS written_position,
            users.disabled_at IS NOT NULL AS disabled, sessions.id AS session_id,
            coalesce(users.sessions_ended_at > %(issued_at)s, false) AS outdated
        FROM users LEFT JOIN sessions ON sessions.id = %(session_id)s
            AND sessions.user_id = users.id
            AND sessions.revoked_at IS NULL AND sessions.expires_at > now()
        WHERE users.id = %(user_id)s
        """,
        {
            "issued_at": claims.issued_at,
            "session_id": claims.session_id,
            "user_id": claims.user_id,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise TokenRefused("The user of this access token is gone; log in again.")
    if row["disabled"]:
        raise TokenRefused("This user is disabled: ask an administrator.")
    # A token of the release before names no session and falls with all sessions of its user.
    ended = row["outdated"] if claims.session_id is None else row["session_id"] is None
    if ended:
        raise TokenRefused("This session has ended; log in again.")
    return Identity(
        claims.user_id,
        row["username"],
        row["role"],
        session_id=row["session_id"],
        written_position=row["written_position"],
    )


async def begin(
    connection: Connection, user_id: UUID, *, keys: TokenKeys, seconds: int
) -> tuple[UUID, str]:
    """Begin a session; return its id and its first refresh token.

    The user's oldest sessions beyond SESSIONS_PER_USER end. Raises TokenRefused when the user was
    disabled or deleted meanwhile. Belongs into a transaction.
    """
    session_id, nonce = uuid4(), secrets.token_hex(32)
    token = keys.refresh_tokens(session_id, nonce)[0]
    # Held, so that a user who is disabled at this moment has no session left.
    cursor = await connection.execute(
        "INSERT INTO sessions (id, user_id, refresh_nonce, refresh_sha256, expires_at)"
        " SELECT %s, id, %s, %s, now() + make_interval(secs => %s)"
        " FROM users WHERE id = %s AND disabled_at IS NULL FOR SHARE",
        [session_id, nonce, sha256(token), seconds, user_id],
    )
    if not cursor.rowcount:
        raise TokenRefused("This user was just disabled or deleted: ask an administrator.")
    await connection.execute(
        "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE user_id = %s"
        " ORDER BY created_at DESC OFFSET %s)",
        [user_id, SESSIONS_PER_USER],
    )
    return session_id, token


async def rotate(
    connection: Connection, refresh_token: str, *, keys: TokenKeys, seconds: int
) -> tuple[Identity, str | None]:
    """Exchange a refresh token; return who it speaks for and the next refresh token.

    Within REPEAT_SECONDS the same exchange gives the same token again. Later a token that was
    replaced ends the session, because two hold copies of it, and gives None. Raises TokenRefused
    when the session is over. Belongs into a transaction.
    """
    session_id = session_of(refresh_token)
    cursor = await connection.execute(
        """
        SELECT users.id AS user_id, users.username, users.role, refresh_nonce, refresh_sha256,
            previous_sha256, rotated_at > now() - make_interval(secs => %s) AS repeatable
        FROM sessions JOIN users ON users.id = sessions.user_id
        WHERE sessions.id = %s AND revoked_at IS NULL AND expires_at > now()
            AND users.disabled_at IS NULL
        FOR UPDATE OF sessions
        """,
        [REPEAT_SECONDS, session_id],
    )
    row = await cursor.fetchone()
    if row is None:
        raise TokenRefused("This session has ended; log in again.")
    identity = Identity(row["user_id"], row["username"], row["role"], session_id=session_id)
    given = sha256(refresh_token)
    if row["repeatable"] and hmac.compare_digest(given, row["previous_sha256"] or ""):
        for token in keys.refresh_tokens(session_id, row["refresh_nonce"]):
            if sha256(token) == row["refresh_sha256"]:
                return identity, token
    if not hmac.compare_digest(given, row["refresh_sha256"]):
        await end(connection, session_id)
        return identity, None
    nonce = secrets.token_hex(32)
    token = keys.refresh_tokens(session_id, nonce)[0]
    await connection.execute(
        "UPDATE sessions SET refresh_nonce = %s, refresh_sha256 = %s, previous_sha256 = %s,"
        " rotated_at = now(), expires_at = now() + make_interval(secs => %s) WHERE id = %s",
        [nonce, sha256(token), given, seconds, session_id],
    )
    return identity, token


async def end(connection: Connection, session_id: UUID) -> None:
    """End one session."""
    await connection.execute(
        "UPDATE sessions SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL", [session_id]
    )


async def end_all(connection: Connection, user_id: UUID, *, but: UUID | None = None) -> None:
    """End every session of a user, except one where given."""
    await connection.execute(
        "UPDATE sessions SET revoked_at = now()"
        " WHERE user_id = %s AND revoked_at IS NULL AND id IS DISTINCT FROM %s",
        [user_id, but],
    )
    await connection.execute("UPDATE users SET sessions_ended_at = now() WHERE id = %s", [user_id])


async def forget_ended(connection: Connection) -> int:
    """Remove sessions that ended days ago; return how many."""
    cursor = await connection.execute(
        "DELETE FROM sessions"
        " WHERE least(expires_at, revoked_at) < now() - make_interval(days => %s)",
        [ENDED_DAYS],
    )
    return cursor.rowcount
