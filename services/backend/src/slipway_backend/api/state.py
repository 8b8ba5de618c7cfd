"""What an app holds while it runs, and how routes reach it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Annotated

import anyio
import procrastinate
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from slipway_backend.answers import Answerer
from slipway_backend.database import Pool
from slipway_backend.embedding import Embedder
from slipway_backend.errors import Problem
from slipway_backend.files import FileStore
from slipway_backend.metrics import Metrics
from slipway_backend.search import Searcher
from slipway_backend.security import Identity, LoginThrottle, TokenRefused, read_token
from slipway_backend.settings import Settings


@dataclass
class Lifecycle:
    """Whether this process still wants new work."""

    draining: bool = False


def _one_per_core() -> anyio.CapacityLimiter:
    # A check of a password takes a core and 19 MiB; many at once would exhaust the container.
    return anyio.CapacityLimiter(os.cpu_count() or 1)


@dataclass(frozen=True)
class State:
    """Everything that routes use."""

    settings: Settings
    metrics: Metrics
    lifecycle: Lifecycle
    pool: Pool
    queue: procrastinate.App
    files: FileStore
    embedder: Embedder
    searcher: Searcher
    answerer: Answerer
    throttle: LoginThrottle = field(default_factory=LoginThrottle)
    password_checks: anyio.CapacityLimiter = field(default_factory=_one_per_core)


def get_state(request: Request) -> State:
    """Return the running app's state."""
    state = request.app.state.slipway
    if not isinstance(state, State):
        raise TypeError("the app has not been started")
    return state


StateDependency = Annotated[State, Depends(get_state)]

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
            "SELECT username, role FROM users WHERE id = %s", [claimed.user_id]
        )
        row = await cursor.fetchone()
    if row is None:
        raise unauthorized("The user of this access token is gone; log in again.")
    return Identity(claimed.user_id, row["username"], row["role"])


def unauthorized(detail: str) -> Problem:
    """A 401 problem."""
    return Problem(401, "Not logged in", detail, headers={"WWW-Authenticate": "Bearer"})


IdentityDependency = Annotated[Identity, Depends(get_identity)]
