"""Users, and oneself."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.access import Role, Scope
from slipway_backend.api.models.login import Password

# Printable at its ends, so that two names that look the same there are the same.
NewUsername = Annotated[
    str,
    StringConstraints(
        max_length=200, pattern=r"^[^\s\x00-\x1f\x7f]([^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?$"
    ),
]


class NewUser(BaseModel):
    """A user to be made."""

    model_config = ConfigDict(extra="forbid")

    username: NewUsername
    password: Password = Field(description="at least 12 characters, none of the commonest")
    role: Role = "reader"


class UserChange(BaseModel):
    """What to change of a user; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: bool | None = Field(None, description="true ends sessions and API keys at once")
    password: Password | None = Field(None, description="ends the user's sessions")


class UserOut(BaseModel):
    """A user."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    username: str
    role: Role
    disabled: bool
    created_at: datetime
    updated_at: datetime


class UserList(BaseModel):
    """Users by name."""

    users: list[UserOut]
    total: int


class PasswordChange(BaseModel):
    """The password one has and the one to have."""

    model_config = ConfigDict(extra="forbid")

    current_password: Password
    new_password: Password


class Me(BaseModel):
    """Who asks, and what they may see."""

    id: UUID
    username: str
    role: Role
    scopes: list[Scope] = Field(description="what role and API key allow together")
    readable: list[str] = Field(description="names of the collections whose documents one finds")
    writable: list[str] = Field(description="names of the collections that one may change")
    api_key_id: UUID | None = Field(description="the API key this was asked with")
