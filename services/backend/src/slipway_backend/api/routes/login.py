"""Logging in."""

from __future__ import annotations

import math

import anyio.to_thread
from fastapi import APIRouter, Request

from slipway_backend.access import Identity
from slipway_backend.api.identity import unauthorized
from slipway_backend.api.models.login import Login, Token
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger
from slipway_backend.security import issue_token, verify_password

router = APIRouter(prefix="/v1", tags=["login"])


@router.post("/login", responses=describe(401, 422, 429, 503))
async def login(body: Login, request: Request, state: StateDependency) -> Token:
    """Exchange a user name and password for an access token.

    After five failures within a minute further tries for the same user from the same address wait.
    """
    address = request.client.host if request.client else "unknown"
    key = f"{address}\n{body.username}"
    _refuse_guessing(state, key)
    async with state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, username, password_hash, role FROM users"
            " WHERE username = %s AND disabled_at IS NULL",
            [body.username],
        )
        row = await cursor.fetchone()
    stored = row["password_hash"] if row else None
    async with state.password_checks:
        # Again, or guesses sent at once would all be let in before the first one has failed.
        _refuse_guessing(state, key)
        fits = await anyio.to_thread.run_sync(verify_password, stored, body.password)
        if not fits:
            state.throttle.failed(key)
    if not fits or row is None:
        get_logger().warning("login_failed", address=address)
        raise unauthorized("The user name or the password is wrong.")
    state.throttle.succeeded(key)
    identity = Identity(row["id"], row["username"], row["role"])
    seconds = state.settings.jwt_seconds
    token = issue_token(identity, secret=state.settings.jwt_secret, seconds=seconds)
    get_logger().info("login", user_id=str(identity.user_id))
    return Token(access_token=token, expires_in=seconds)


def _refuse_guessing(state: State, key: str) -> None:
    wait = math.ceil(state.throttle.seconds_to_wait(key))
    if wait > 0:
        raise Problem(
            429,
            "Too many failed logins",
            f"Wait {wait} seconds before the next try.",
            headers={"Retry-After": str(wait)},
        )
