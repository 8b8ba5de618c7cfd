"""Who asks: the dependency of every route, and what their role and key allow at all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, TypeVar

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from slipway_backend import audit, keys, sessions
from slipway_backend.access import Identity, Scope
from slipway_backend.api.state import State, StateDependency
from slipway_backend.database import TRANSIENT
from slipway_backend.errors import Problem
from slipway_backend.logs import user_hash
from slipway_backend.security import API_KEY_PREFIX, TokenRefused

# How often it is asked again whether somebody may have the rest of a long answer: one statement.
CONFIRM_SECONDS = 15.0
T = TypeVar("T")

_bearer = HTTPBearer(
    auto_error=False, description="The access token of POST /v1/login, or an API key."
)


async def get_identity(
    request: Request,
    state: StateDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Identity:
    """Return who asks; raise a 401 problem when the token or key is missing or good for nobody."""
    if credentials is None:
        raise unauthorized("An access token is needed: get one from POST /v1/login.")
    if state.audit.full:
        raise Problem(
            503,
            "Audit log not writable",
            "What is asked now could not be logged: try again in a few seconds.",
            headers={"Retry-After": "5"},
        )
    try:
        identity = await _identify(state, credentials.credentials)
    except TokenRefused as error:
        raise unauthorized(str(error)) from None
    audit.note(identity=identity)
    structlog.contextvars.bind_contextvars(user_hash=user_hash(identity.user_id))
    request.state.identity = identity
    return identity


async def _identify(state: State, token: str) -> Identity:
    # One statement in either case, so that ending a session, key or user works at once.
    if token.startswith(API_KEY_PREFIX):
        async with state.pool.connection() as connection:
            identity, last_used_at = await keys.identify(connection, token)
        if identity.api_key_id:
            state.audit.key_used(identity.api_key_id, last_used_at)
        return identity
    claims = state.token_keys.read(token)
    async with state.pool.connection() as connection:
        return await sessions.identify(connection, claims)


class Standing:
    """Whether who began a long answer may still have the rest of it."""

    def __init__(self, state: State, token: str) -> None:
        self._state = state
        self._token = token

    async def confirm(self) -> None:
        """Raise a 401 or 403 problem when session, key, user or the right to read has ended."""
        try:
            identity = await _identify(self._state, self._token)
        except TokenRefused as error:
            raise unauthorized(str(error)) from None
        if not identity.may("read"):
            raise forbidden("read")

    async def guard(self, told: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Yield what an answer tells; raise as `confirm` does, at most CONFIRM_SECONDS late.

        An answer that has begun needs no database any more: a lost one does not break it off.
        """
        confirmed_at = time.monotonic()
        async with contextlib.aclosing(told):
            async for each in told:
                if time.monotonic() - confirmed_at >= CONFIRM_SECONDS:
                    with contextlib.suppress(*TRANSIENT):
                        await self.confirm()
                    confirmed_at = time.monotonic()
                yield each


async def _standing(
    state: StateDependency,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Standing:
    return Standing(state, credentials.credentials if credentials else "")


def _needs(scope: Scope) -> Callable[[Identity], Awaitable[Identity]]:
    async def allowed(identity: Annotated[Identity, Depends(get_identity)]) -> Identity:
        if not identity.may(scope):
            raise forbidden(scope)
        return identity

    return allowed


async def _with_session(identity: Annotated[Identity, Depends(get_identity)]) -> Identity:
    if identity.api_key_id is not None:
        raise Problem(
            403, "Not allowed", "An API key cannot do this: log in with user name and password."
        )
    return identity


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
# Beside one of these, for answers that go on after it was asked for.
StandingDependency = Annotated[Standing, Depends(_standing)]
# Somebody who logged in, not a program with a key.
Person = Annotated[Identity, Depends(_with_session)]
