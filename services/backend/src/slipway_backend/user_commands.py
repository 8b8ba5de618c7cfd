"""`slipway-backend users ...`: users and their grants, from where the database's secrets are."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import secrets
import sys

from pydantic import ValidationError

from slipway_backend import audit, grants, users
from slipway_backend.api.models.users import NewUser
from slipway_backend.database import TRANSIENT, Connection, check_schema, make_pool
from slipway_backend.errors import Problem, StartRefused
from slipway_backend.logs import user_hash
from slipway_backend.security import hash_password
from slipway_backend.settings import Settings

PAGE = 500
# 144 random bits, in 24 characters that can be copied by hand.
GENERATED_BYTES = 18
# What the audit log names in place of a user: who may run this is whoever may read the secrets.
BY = "command line"


def run_users(settings: Settings, chosen: argparse.Namespace) -> int:
    """Run the chosen command; return the exit code.

    Raises StartRefused with one sentence when nothing was changed.
    """
    try:
        # Before anything is asked of the database, which must not wait for a person's typing.
        password = _password(settings, chosen) if chosen.users in ("add", "password") else ""
        said = asyncio.run(_run(settings, chosen, password))
    except Problem as problem:
        raise StartRefused(problem.detail) from None
    except TRANSIENT as error:
        raise StartRefused(f"The database gave no answer ({type(error).__name__}).") from None
    sys.stdout.write(f"{said}\n")
    if password and chosen.generate:
        sys.stdout.write(f"password: {password}\nIt is not shown again.\n")
    return 0


async def _run(settings: Settings, chosen: argparse.Namespace, password: str) -> str:
    audit.begin(audit.Trail(level=settings.audit))
    async with make_pool(settings.require_database(), size=1, timeout=10.0) as pool:
        await check_schema(pool)
        async with pool.connection() as connection, connection.transaction():
            if chosen.users == "list":
                return await _list(connection)
            if chosen.users == "add":
                return await _add(connection, chosen, password)
            user = await users.find_by_name(connection, chosen.username)
            if user is None:
                raise StartRefused(
                    f"There is no user {chosen.username!r}: see `slipway-backend users list`."
                )
            if chosen.users == "hash":
                return user_hash(user.id)
            if chosen.users == "grant":
                return await _grant(connection, user, chosen)
            return await _change(connection, settings, user, password)


async def _list(connection: Connection) -> str:
    lines: list[str] = []
    total = 1
    while len(lines) < total:
        found, total = await users.listed(connection, limit=PAGE, offset=len(lines))
        if not found:
            break
        for user in found:
            state = "deactivated" if user.disabled else "active"
            lines.append(
                f"{user.role:<6}  {state:<11}  {user.created_at:%Y-%m-%d}  {user.username}"
            )
    return "\n".join(lines) or "There is no user: run `slipway-backend migrate`."


async def _add(connection: Connection, chosen: argparse.Namespace, password: str) -> str:
    user = await users.insert(connection, chosen.username, hash_password(password), chosen.role)
    await audit.write(
        connection, "user.create", object=user.id, username=user.username, role=user.role, by=BY
    )
    return f"{user.username} was added as {user.role}."


async def _change(
    connection: Connection, settings: Settings, user: users.User, password: str
) -> str:
    users.refuse_kept(settings.admin_username, user.username, "role, password and state")
    if password:
        await users.update(connection, user.id, password_hash=hash_password(password))
        await audit.write(connection, "user.update", object=user.id, password_changed=True, by=BY)
        return f"{user.username} has a new password; their sessions ended."
    await users.update(connection, user.id, disabled=True)
    await audit.write(connection, "user.update", object=user.id, disabled=True, by=BY)
    return f"{user.username} is deactivated; their sessions and API keys are good no more."


async def _grant(connection: Connection, user: users.User, chosen: argparse.Namespace) -> str:
    collection = await grants.collection_id(connection, chosen.collection)
    grant = await grants.give(
        connection, collection, user_id=user.id, group_id=None, access=chosen.access
    )
    await audit.write(
        connection,
        "grant.update",
        collections=[chosen.collection],
        object=grant.id,
        user_id=str(user.id),
        access=grant.access,
        by=BY,
    )
    said = f"{user.username} may {grant.access} {chosen.collection!r}."
    if user.role == "reader" and grant.access == "write":
        said += " As a reader they only read: writing needs the role editor."
    return said


def _password(settings: Settings, chosen: argparse.Namespace) -> str:
    """The new user's password: made up, typed twice, or the first line of standard input."""
    if chosen.users == "password":
        users.refuse_kept(settings.admin_username, chosen.username, "role, password and state")
    if chosen.generate:
        password = secrets.token_urlsafe(GENERATED_BYTES)
    elif sys.stdin.isatty():
        password = getpass.getpass("password: ")
        if getpass.getpass("once more: ") != password:
            raise StartRefused("The two passwords differ: nothing was changed.")
    else:
        try:
            password = sys.stdin.readline().rstrip("\r\n")
        except UnicodeDecodeError:
            raise StartRefused("The password on standard input is not UTF-8 text.") from None
    if not password:
        raise StartRefused("Give the password on standard input, or --generate.")
    _check_as_the_api_does(chosen, password)
    users.refuse_weak(chosen.username, password)
    return password


def _check_as_the_api_does(chosen: argparse.Namespace, password: str) -> None:
    role = chosen.role if chosen.users == "add" else "reader"
    try:
        NewUser(username=chosen.username, password=password, role=role)
    except ValidationError as error:
        field = str(error.errors(include_input=False)[0]["loc"][0])
        raise StartRefused(
            f"This {field} is not accepted: a user name has at most 200 printable characters and "
            "no space at its ends, a password at most 1024."
        ) from None
