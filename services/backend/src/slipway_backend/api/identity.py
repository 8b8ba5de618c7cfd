"""Who asks: the dependency of every route, and what their role and key allow at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from slipway_backend.access import Identity, Scope
from slipway_backend.api.state import StateDependency
from slipway_backend.errors import Problem
from slipway_backend.security import TokenRefused, read_token

_bearer = HTTPBearer(auto_error=False, description="The access token of POST /v1/login.")


async def get_identity(
    state: StateDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Identity:
    """Return who asks; raise a 401 problem when the token is missing, not valid, or nobody's."""
    if credentials is None:
        raise unauthorized("An access token is needed: get one from POST /v1/login.")
    try:
        claimed = read_token(credentials.credentials, secret=state.settings.jwt_secret)
    except TokenRefused as error:
        raise unauthorized(str(error)) from None
    # A token outlives its user and the user's role.
    async with state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT username, role FROM users WHERE id = %s AND disabled_at IS NULL",
            [claimed.user_id],
        )
        row = await cursor.fetchone()
    if row is None:
        raise unauthorized("The user of this access token is gone; log in again.")
    return Identity(claimed.user_id, row["username"], row["role"])


def _needs(scope: Scope) -> Callable[[Identity], Awaitable[Identity]]:
    async def allowed(identity: Annotated[Identity, Depends(get_identity)]) -> Identity:
        if not identity.may(scope):
            raise forbidden(scope)
        return identity

    return allowed


def unauthorized(detail: str) -> Problem:
    """A 401 problem."""
    return Problem(401, "Not logged in", detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(scope: Scope) -> Problem:
    """A 403 problem."""
    return Problem(
        403,
        "Not allowed",
        f"This needs the right to {scope}, which your role or your API key does not have: ask an "
        "administrator.",
    )


Reader = Annotated[Identity, Depends(_needs("read"))]
Writer = Annotated[Identity, Depends(_needs("write"))]
Administrator = Annotated[Identity, Depends(_needs("admin"))]
