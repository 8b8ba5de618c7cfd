"""Who may read or write a collection."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path

from slipway_backend import audit, grants
from slipway_backend.api.identity import Administrator
from slipway_backend.api.models.grants import GrantList, GrantOut, NewGrant
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1/collections/{name}/grants", tags=["grants"])
Name = Annotated[str, Path(min_length=1, max_length=63, pattern=r"^[^\x00]+$")]


@router.get("", responses=describe(401, 403, 404, 422, 503))
async def list_grants(name: Name, state: StateDependency, _: Administrator) -> GrantList:
    """List who may read or write a collection besides the administrators."""
    async with state.pool.connection() as connection:
        collection = await grants.collection_id(connection, name)
        found = await grants.listed(connection, collection)
    return GrantList(grants=[GrantOut.model_validate(grant) for grant in found])


@router.put("", responses=describe(401, 403, 404, 422, 503))
async def give_grant(
    name: Name, body: NewGrant, state: StateDependency, _: Administrator
) -> GrantOut:
    """Let a user or a group read or write; it replaces what the same one was granted before."""
    async with state.pool.connection() as connection, connection.transaction():
        collection = await grants.collection_id(connection, name)
        grant = await grants.give(
            connection,
            collection,
            user_id=body.user_id,
            group_id=body.group_id,
            access=body.access,
        )
        await audit.write(
            connection,
            "grant.update",
            collections=[name],
            object=grant.id,
            **body.model_dump(mode="json", exclude_none=True),
        )
    return GrantOut.model_validate(grant)


@router.delete("/{grant_id}", status_code=204, responses=describe(401, 403, 404, 422, 503))
async def take_grant(name: Name, grant_id: UUID, state: StateDependency, _: Administrator) -> None:
    """Take a grant back; it holds for the next request already."""
    async with state.pool.connection() as connection, connection.transaction():
        collection = await grants.collection_id(connection, name)
        await grants.take(connection, collection, grant_id)
        await audit.write(connection, "grant.delete", collections=[name], object=grant_id)
