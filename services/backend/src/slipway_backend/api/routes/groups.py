"""Groups and their members."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Response

from slipway_backend import audit, groups
from slipway_backend.api.identity import Administrator
from slipway_backend.api.models.groups import (
    GroupList,
    GroupOut,
    MemberList,
    MemberOut,
    NewGroup,
)
from slipway_backend.api.paging import Limit, Offset
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1/groups", tags=["groups"])


@router.get("", responses=describe(401, 403, 422, 503))
async def list_groups(
    state: StateDependency,
    _: Administrator,
    limit: Limit = 100,
    offset: Offset = 0,
) -> GroupList:
    """List groups by name."""
    async with state.pool.connection() as connection:
        found, total = await groups.listed(connection, limit=limit, offset=offset)
    return GroupList(groups=[GroupOut.model_validate(group) for group in found], total=total)


@router.post(
    "",
    status_code=201,
    responses={
        **describe(401, 403, 409, 422, 503),
        200: {"model": GroupOut, "description": "There was a group of this name already."},
    },
)
async def create_group(
    body: NewGroup, response: Response, state: StateDependency, _: Administrator
) -> GroupOut:
    """Make a group, unless there is one of this name."""
    async with state.pool.connection() as connection, connection.transaction():
        group, made = await groups.ensure(connection, body.name)
        if made:
            await audit.write(connection, "group.create", object=group.id, name=group.name)
    response.status_code = 201 if made else 200
    response.headers["location"] = f"{router.prefix}/{group.id}"
    return GroupOut.model_validate(group)


@router.delete("/{group_id}", status_code=204, responses=describe(401, 403, 404, 422, 503))
async def delete_group(group_id: UUID, state: StateDependency, _: Administrator) -> None:
    """Delete a group with what it was granted; its members stay."""
    async with state.pool.connection() as connection, connection.transaction():
        group = await groups.delete(connection, group_id)
        await audit.write(connection, "group.delete", object=group_id, name=group.name)


@router.get("/{group_id}/members", responses=describe(401, 403, 404, 422, 503))
async def list_members(group_id: UUID, state: StateDependency, _: Administrator) -> MemberList:
    """List a group's members by name."""
    async with state.pool.connection() as connection:
        await groups.find(connection, group_id)
        found = await groups.members(connection, group_id)
    return MemberList(members=[MemberOut.model_validate(member) for member in found])


@router.put(
    "/{group_id}/members/{user_id}", status_code=204, responses=describe(401, 403, 404, 422, 503)
)
async def add_member(
    group_id: UUID, user_id: UUID, state: StateDependency, _: Administrator
) -> None:
    """Make a user a member of a group; they may be one already."""
    async with state.pool.connection() as connection, connection.transaction():
        await groups.add_member(connection, group_id, user_id)
        await audit.write(connection, "member.create", object=user_id, group=str(group_id))


@router.delete(
    "/{group_id}/members/{user_id}", status_code=204, responses=describe(401, 403, 404, 422, 503)
)
async def remove_member(
    group_id: UUID, user_id: UUID, state: StateDependency, _: Administrator
) -> None:
    """Take a user out of a group; what the group was granted is theirs no more, at once."""
    async with state.pool.connection() as connection, connection.transaction():
        await groups.remove_member(connection, group_id, user_id)
        await audit.write(connection, "member.delete", object=user_id, group=str(group_id))
