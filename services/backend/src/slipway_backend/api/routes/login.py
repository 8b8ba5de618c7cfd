"""Logging in, staying logged in, and logging out."""

from __future__ import annotations

from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Request

from slipway_backend import audit, sessions, throttle, users
from slipway_backend.access import Identity
from slipway_backend.api.identity import Person, unauthorized
from slipway_backend.api.models.login import Login, Logout, Refresh, Token
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.database import Connection
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger, user_hash
from slipway_backend.security import TokenRefused, verify_password
from slipway_backend.throttle import Caller

router = APIRouter(prefix="/v1", tags=["login"])


@router.post("/login", responses=describe(401, 422, 429, 503))
async def login(body: Login, request: Request, state: StateDependency) -> Token:
    """Exchange a user name and password for an access token and a refresh token.

    After five failures within a minute further tries for the same user from the same address wait,
    after fifty every try from the address, and after twenty for one user those from addresses where
    that user has not logged in before.
    """
    address = request.client.host if request.client else "unknown"
    caller = Caller.of(address, body.username)
    async with state.pool.connection() as connection:
        await _refuse_guessing(connection, caller)
        user, stored = await users.password_hash(connection, body.username)
    async with state.password_checks:
        # Again, or guesses sent at once would all be let in before the first one has failed.
        async with state.pool.connection() as connection:
            await _refuse_guessing(connection, caller)
        fits = await anyio.to_thread.run_sync(verify_password, stored, body.password)
        if not fits or user is None:
            async with state.pool.connection() as connection, connection.transaction():
                await throttle.failed(connection, caller)
                # Without the name: what people type there in error is often a password.
                await audit.write(
                    connection,
                    "login",
                    outcome="refused",
                    object=user.id if user else None,
                )
    if not fits or user is None:
        get_logger().warning("login_failed", address=address)
        raise unauthorized("The user name or the password is wrong.")
    identity = Identity(user.id, user.username, user.role)
    async with state.pool.connection() as connection, connection.transaction():
        await throttle.succeeded(connection, caller, user.id)
        settings = state.settings
        try:
            session_id, refresh_token = await sessions.begin(
                connection, user.id, keys=state.token_keys, seconds=settings.session_seconds
            )
        except TokenRefused as error:
            raise unauthorized(str(error)) from None
        await audit.write(connection, "login", identity=identity, object=session_id)
    get_logger().info("login", user_hash=user_hash(identity.user_id))
    return token_of(state, identity, session_id, refresh_token)


@router.post("/refresh", responses=describe(401, 422, 503))
async def refresh(body: Refresh, state: StateDependency) -> Token:
    """Exchange a refresh token for the next access token and the next refresh token.

    A refresh token is good once. Using it again later ends the session, because two hold copies of
    it; within some seconds, when the first answer may have been lost, it gives the same answer.
    """
    async with state.pool.connection() as connection, connection.transaction():
        try:
            identity, refresh_token = await sessions.rotate(
                connection,
                body.refresh_token,
                keys=state.token_keys,
                seconds=state.settings.session_seconds,
            )
        except TokenRefused as error:
            raise unauthorized(str(error)) from None
        await audit.write(
            connection,
            "session.refresh",
            identity=identity,
            object=identity.session_id,
            outcome="ok" if refresh_token else "refused",
        )
    if refresh_token is None or identity.session_id is None:
        get_logger().warning("refresh_token_reused", user_hash=user_hash(identity.user_id))
        raise unauthorized("This refresh token was used before, so its session has ended; log in.")
    return token_of(state, identity, identity.session_id, refresh_token)


@router.post("/logout", status_code=204, responses=describe(401, 403, 422, 503))
async def logout(state: StateDependency, identity: Person, body: Logout | None = None) -> None:
    """End this session, or every session of the user, at once."""
    everywhere = body is not None and body.everywhere
    async with state.pool.connection() as connection, connection.transaction():
        if everywhere or identity.session_id is None:
            await sessions.end_all(connection, identity.user_id)
        else:
            await sessions.end(connection, identity.session_id)
        await audit.write(connection, "logout", object=identity.session_id, everywhere=everywhere)


def token_of(state: State, identity: Identity, session_id: UUID, refresh_token: str) -> Token:
    """What somebody who has just logged in is given."""
    seconds = state.settings.jwt_seconds
    return Token(
        access_token=state.token_keys.issue(identity, session_id=session_id, seconds=seconds),
        expires_in=seconds,
        refresh_token=refresh_token,
        refresh_expires_in=state.settings.session_seconds,
    )


async def _refuse_guessing(connection: Connection, caller: Caller) -> None:
    wait = await throttle.seconds_to_wait(connection, caller)
    if wait > 0:
        raise Problem(
            429,
            "Too many failed logins",
            f"Wait {wait} seconds before the next try.",
            headers={"Retry-After": str(wait)},
        )
