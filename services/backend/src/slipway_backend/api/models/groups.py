"""Groups and their members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from slipway_backend.api.models.users import NewUsername


class NewGroup(BaseModel):
    """A group to be made."""

    model_config = ConfigDict(extra="forbid")

    name: NewUsername


class GroupOut(BaseModel):
    """A group."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str
    created_at: datetime
    members: int


class GroupList(BaseModel):
    """Groups by name."""

    groups: list[GroupOut]
    total: int


class MemberOut(BaseModel):
    """A user in a group."""

    model_config = ConfigDict(from_attributes=True)

    user_id: UUID
    username: str


class MemberList(BaseModel):
    """A group's members by name."""

    members: list[MemberOut]
