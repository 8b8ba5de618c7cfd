"""API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from slipway_backend import audit, keys
from slipway_backend.api.identity import Reader, forbidden
from slipway_backend.api.models.keys import KeyList, KeyOut, MadeKey, NewKey
from slipway_backend.api.paging import Limit, Offset
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", responses=describe(401, 403, 422, 503))
async def list_keys(
    state: StateDependency,
    identity: Reader,
    everyone: Annotated[
        bool, Query(description="those of every user; administrators only")
    ] = False,
    limit: Limit = 100,
    offset: Offset = 0,
) -> KeyList:
    """List API keys, newest first, revoked and expired ones too.

    Asked with an API key without the scope admin: that key and those made with it.
    """
    if everyone and not identity.may("admin"):
        raise forbidden("admin")
    async with state.pool.connection() as connection:
        found, total = await keys.listed(
            connection, identity, everyone=everyone, limit=limit, offset=offset
        )
    return KeyList(keys=[KeyOut.model_validate(key) for key in found], total=total)


@router.post("", status_code=201, responses=describe(401, 403, 404, 409, 422, 503))
async def create_key(
    body: NewKey, request: Request, response: Response, state: StateDependency, identity: Reader
) -> MadeKey:
    """Make an API key for oneself. Its secret is in this answer and nowhere else.

    A key never allows more than its user, nor more than the key it is made with.
    """
    async with state.pool.connection() as connection, connection.transaction():
        made, secret = await keys.make(
            connection,
            identity,
            name=body.name,
            scope=max(body.scopes, key=keys.SCOPES.index),
            collections=body.collections,
            expires_at=body.expires_at,
            request_id=request.scope.get("request_id"),
        )
        await audit.write(
            connection,
            "key.create",
            collections=made.collections or (),
            object=made.id,
            name=made.name,
            scopes=made.scopes,
        )
    response.headers["location"] = f"{router.prefix}/{made.id}"
    response.headers["cache-control"] = "no-store"
    return MadeKey(**KeyOut.model_validate(made).model_dump(), key=secret)


@router.delete("/{key_id}", status_code=204, responses=describe(401, 403, 404, 422, 503))
async def revoke_key(key_id: UUID, state: StateDependency, identity: Reader) -> None:
    """Revoke an API key, and those made with it, at once; administrators revoke anybody's.

    An API key without the scope admin revokes itself and those made with it.
    """
    async with state.pool.connection() as connection, connection.transaction():
        name = await keys.revoke(connection, key_id, identity)
        await audit.write(connection, "key.delete", object=key_id, name=name)
