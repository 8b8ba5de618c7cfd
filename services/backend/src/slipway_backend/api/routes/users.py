"""Users, and what one may do oneself."""

from __future__ import annotations

from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Request, Response

from slipway_backend import audit, grants, sessions, throttle, users
from slipway_backend.access import Scope
from slipway_backend.api.identity import Administrator, Person, Reader
from slipway_backend.api.models.users import (
    Me,
    NewUser,
    PasswordChange,
    UserChange,
    UserList,
    UserOut,
)
from slipway_backend.api.paging import Limit, Offset
from slipway_backend.api.problems import describe
from slipway_backend.api.state import State, StateDependency
from slipway_backend.errors import Problem
from slipway_backend.security import hash_password, verify_password
from slipway_backend.throttle import Caller

router = APIRouter(prefix="/v1", tags=["users"])


@router.get("/me", responses=describe(401, 403, 503))
async def me(state: StateDependency, identity: Reader) -> Me:
    """Say who asks, and which collections they may read and write."""
    async with state.pool.connection() as connection:
        readable, writable = await grants.allowed(connection, identity)
    every: tuple[Scope, ...] = ("read", "write", "admin")
    return Me(
        id=identity.user_id,
        username=identity.username,
        role=identity.role,
        scopes=[scope for scope in every if identity.may(scope)],
        readable=readable,
        writable=writable,
        api_key_id=identity.api_key_id,
    )


@router.put("/me/password", status_code=204, responses=describe(401, 403, 409, 422, 429, 503))
async def change_password(
    body: PasswordChange, request: Request, state: StateDependency, identity: Person
) -> None:
    """Change one's own password; every other session of the user ends."""
    users.refuse_kept(state.settings.admin_username, identity.username, "password")
    users.refuse_weak(identity.username, body.new_password)
    address = request.client.host if request.client else "unknown"
    caller = Caller.of(address, identity.username)
    async with state.pool.connection() as connection:
        wait = await throttle.seconds_to_wait(connection, caller)
        _, stored = await users.password_hash(connection, identity.username)
    if wait:
        raise Problem(
            429,
            "Too many failed tries",
            f"Wait {wait} seconds before the next try.",
            headers={"Retry-After": str(wait)},
        )
    async with state.password_checks:
        fits = await anyio.to_thread.run_sync(verify_password, stored, body.current_password)
    if not fits:
        async with state.pool.connection() as connection:
            await throttle.failed(connection, caller)
        raise Problem(403, "Wrong password", "The current password is wrong: nothing was changed.")
    hashed = await _hash(state, body.new_password)
    async with state.pool.connection() as connection, connection.transaction():
        await connection.execute(
            "UPDATE users SET password_hash = %s, updated_at = now() WHERE id = %s",
            [hashed, identity.user_id],
        )
        await sessions.end_all(connection, identity.user_id, but=identity.session_id)
        await audit.write(connection, "user.password", object=identity.user_id)


@router.get("/users", responses=describe(401, 403, 422, 503))
async def list_users(
    state: StateDependency,
    _: Administrator,
    limit: Limit = 100,
    offset: Offset = 0,
) -> UserList:
    """List users by name."""
    async with state.pool.connection() as connection:
        found, total = await users.listed(connection, limit=limit, offset=offset)
    return UserList(users=[UserOut.model_validate(user) for user in found], total=total)


@router.post(
    "/users",
    status_code=201,
    responses={
        **describe(401, 403, 409, 422, 503),
        200: {"model": UserOut, "description": "There was this very user already."},
    },
)
async def create_user(
    body: NewUser, response: Response, state: StateDependency, _: Administrator
) -> UserOut:
    """Make a user. Sending the same again, as after an answer that was lost, changes nothing."""
    users.refuse_weak(body.username, body.password)
    async with state.pool.connection() as connection:
        there, stored = await users.password_hash(connection, body.username)
    if there is not None and there.role == body.role:
        async with state.password_checks:
            same = await anyio.to_thread.run_sync(verify_password, stored, body.password)
        if same:
            response.status_code = 200
            return UserOut.model_validate(there)
    hashed = await _hash(state, body.password)
    async with state.pool.connection() as connection, connection.transaction():
        user = await users.insert(connection, body.username, hashed, body.role)
        await audit.write(
            connection, "user.create", object=user.id, username=user.username, role=user.role
        )
    response.headers["location"] = f"/v1/users/{user.id}"
    return UserOut.model_validate(user)


@router.get("/users/{user_id}", responses=describe(401, 403, 404, 422, 503))
async def get_user(user_id: UUID, state: StateDependency, _: Administrator) -> UserOut:
    """Return one user."""
    async with state.pool.connection() as connection:
        return UserOut.model_validate(await users.find(connection, user_id))


@router.patch("/users/{user_id}", responses=describe(401, 403, 404, 409, 422, 503))
async def change_user(
    user_id: UUID, body: UserChange, state: StateDependency, _: Administrator
) -> UserOut:
    """Change role or password, disable or enable. The last administrator stays one."""
    async with state.pool.connection() as connection:
        user = await users.find(connection, user_id)
    if body.role not in (None, user.role) or body.disabled or body.password is not None:
        users.refuse_kept(state.settings.admin_username, user.username, "role, password and state")
    hashed = None
    if body.password is not None:
        users.refuse_weak(user.username, body.password)
        hashed = await _hash(state, body.password)
    async with state.pool.connection() as connection, connection.transaction():
        user = await users.update(
            connection, user_id, role=body.role, disabled=body.disabled, password_hash=hashed
        )
        await audit.write(
            connection,
            "user.update",
            object=user_id,
            **body.model_dump(exclude={"password"}, exclude_none=True),
            password_changed=hashed is not None,
        )
    return UserOut.model_validate(user)


@router.delete(
    "/users/{user_id}", status_code=204, responses=describe(401, 403, 404, 409, 422, 503)
)
async def delete_user(user_id: UUID, state: StateDependency, _: Administrator) -> None:
    """Delete a user with sessions, API keys and grants; what they uploaded stays."""
    async with state.pool.connection() as connection, connection.transaction():
        user = await users.delete(connection, user_id)
        users.refuse_kept(state.settings.admin_username, user.username, "account")
        await audit.write(connection, "user.delete", object=user_id, username=user.username)


async def _hash(state: State, password: str) -> str:
    async with state.password_checks:
        return await anyio.to_thread.run_sync(hash_password, password)
