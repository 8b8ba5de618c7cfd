"""Logging in at the site's identity provider."""

from __future__ import annotations

import contextlib
from typing import Annotated

from fastapi import APIRouter, Cookie, Query, Request, Response
from fastapi.responses import RedirectResponse

from slipway_backend import audit, external_identities, sessions
from slipway_backend.access import Identity
from slipway_backend.api.identity import unauthorized
from slipway_backend.api.models.login import Token
from slipway_backend.api.problems import describe
from slipway_backend.api.routes.login import token_of
from slipway_backend.api.state import State, StateDependency
from slipway_backend.database import TRANSIENT
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger, user_hash
from slipway_backend.oidc import Login, LoginRefused, Provider
from slipway_backend.security import TokenRefused

router = APIRouter(prefix="/v1/login/oidc", tags=["login"])
COOKIE = "slipway_login"
# As long as a person may take to type a password and find a second factor.
SECONDS = 600


@router.get(
    "",
    status_code=302,
    response_class=RedirectResponse,
    responses={302: {"description": "To the identity provider."}, **describe(404, 502, 503)},
)
async def begin(state: StateDependency) -> Response:
    """Send the browser to the identity provider; it comes back to `/v1/login/oidc/callback`."""
    provider = _provider(state)
    login = Login()
    answer = RedirectResponse(await provider.address(login), status_code=302)
    sealed = state.token_keys.seal(
        {"state": login.state, "nonce": login.nonce, "verifier": login.verifier},
        purpose=COOKIE,
        seconds=SECONDS,
    )
    answer.set_cookie(
        COOKIE, sealed, max_age=SECONDS, path=router.prefix, secure=True, httponly=True,
        samesite="lax",
    )  # fmt: skip
    answer.headers["cache-control"] = "no-store"
    return answer


@router.get("/callback", responses=describe(401, 404, 422, 502, 503))
async def finish(
    request: Request,
    response: Response,
    state: StateDependency,
    code: Annotated[str, Query(max_length=4096)] = "",
    returned: Annotated[str, Query(alias="state", max_length=200)] = "",
    error: Annotated[str, Query(max_length=200)] = "",
    slipway_login: Annotated[str | None, Cookie(max_length=2000)] = None,
) -> Token:
    """Exchange what the identity provider sent back for an access token and a refresh token.

    The user is made at the first login. Role and groups follow those at the provider.
    """
    provider = _provider(state)
    response.delete_cookie(COOKIE, path=router.prefix)
    response.headers["cache-control"] = "no-store"
    try:
        if error or not code:
            raise LoginRefused("The identity provider did not let you in: begin again.")
        kept = state.token_keys.unseal(slipway_login or "", purpose=COOKIE)
        login = Login(kept["state"], kept["nonce"], kept["verifier"])
        person = await provider.person(login, state=returned, code=code)
        async with state.pool.connection() as connection, connection.transaction():
            user = await external_identities.ensure(connection, person, state.settings)
            identity = Identity(user.id, user.username, user.role)
            session_id, refresh_token = await sessions.begin(
                connection,
                user.id,
                keys=state.token_keys,
                seconds=state.settings.session_seconds,
            )
            await audit.write(
                connection, "login", identity=identity, object=session_id, method="oidc"
            )
    except (LoginRefused, TokenRefused) as refused:
        async with state.pool.connection() as connection, connection.transaction():
            await audit.write(connection, "login", outcome="refused", method="oidc")
        address = request.client.host if request.client else "unknown"
        get_logger().warning("login_failed", address=address, method="oidc")
        raise unauthorized(str(refused)) from None
    # Role and groups may have changed with this login, which is no POST.
    with contextlib.suppress(*TRANSIENT):
        await state.reads.wrote(identity)
    get_logger().info("login", user_hash=user_hash(identity.user_id), method="oidc")
    return token_of(state, identity, session_id, refresh_token)


def _provider(state: State) -> Provider:
    if state.provider is None:
        raise Problem(
            404, "No identity provider", "None is set up here: log in with POST /v1/login."
        )
    return state.provider
