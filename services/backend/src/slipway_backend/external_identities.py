"""Users whom the site's identity provider vouches for, in the database."""

from __future__ import annotations

from slipway_backend import users
from slipway_backend.access import Role
from slipway_backend.database import Connection
from slipway_backend.errors import Problem
from slipway_backend.oidc import LoginRefused, Person
from slipway_backend.settings import Settings
from slipway_backend.users import User

# No hash of any password: who logs in elsewhere has none here.
NO_PASSWORD = "!"  # noqa: S105  # nosec B105


async def ensure(connection: Connection, person: Person, settings: Settings) -> User:
    """Return the user of a person, made at the first login; role and groups follow the provider.

    A name that somebody has already is never taken over: whoever can choose their name at the
    provider would choose an administrator's. Raises LoginRefused then, and for a user who is
    disabled here. Belongs into a transaction.
    """
    cursor = await connection.execute(
        "SELECT user_id FROM external_identities WHERE issuer = %s AND subject = %s",
        [person.issuer, person.subject],
    )
    row = await cursor.fetchone()
    role = role_of(person, settings)
    if row is None:
        user = await _made(connection, person, role)
    else:
        user = await users.find(connection, row["user_id"], hold=True)
        if user.disabled:
            raise LoginRefused("This user is disabled: ask an administrator.")
        if user.role != role and settings.oidc_decides_roles:
            user = await users.update(connection, user.id, role=role)
    await _follow_groups(connection, user, person)
    return user


def role_of(person: Person, settings: Settings) -> Role:
    """The highest role that one of a person's groups stands for."""
    if settings.oidc_admin_group and settings.oidc_admin_group in person.groups:
        return "admin"
    if settings.oidc_editor_group and settings.oidc_editor_group in person.groups:
        return "editor"
    return settings.oidc_role


async def _made(connection: Connection, person: Person, role: Role) -> User:
    try:
        user = await users.insert(connection, person.username, NO_PASSWORD, role)
    except Problem as taken:
        if taken.status != 409:
            raise
        raise LoginRefused(
            f"There is a user {person.username!r} here already, who is not known to be you: ask an "
            "administrator."
        ) from None
    await connection.execute(
        "INSERT INTO external_identities (issuer, subject, user_id) VALUES (%s, %s, %s)",
        [person.issuer, person.subject, user.id],
    )
    return user


async def _follow_groups(connection: Connection, user: User, person: Person) -> None:
    """Make the user a member of exactly those groups that both sides have."""
    await connection.execute(
        "DELETE FROM memberships USING groups WHERE groups.id = group_id AND user_id = %s"
        " AND name <> ALL (%s)",
        [user.id, list(person.groups)],
    )
    await connection.execute(
        "INSERT INTO memberships (group_id, user_id)"
        " SELECT id, %s FROM groups WHERE name = ANY (%s) ON CONFLICT DO NOTHING",
        [user.id, list(person.groups)],
    )
