"""Who may read or write a collection."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator


class NewGrant(BaseModel):
    """Access of one user, or of every member of one group."""

    model_config = ConfigDict(extra="forbid")

    user_id: UUID | None = None
    group_id: UUID | None = None
    access: Literal["read", "write"] = Field(description="write holds read; readers never write")

    @model_validator(mode="after")
    def _one_of_both(self) -> NewGrant:
        if (self.user_id is None) == (self.group_id is None):
            raise ValueError("give either user_id or group_id")
        return self


class GrantOut(BaseModel):
    """A grant."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID | None
    username: str | None
    group_id: UUID | None
    group: str | None
    access: Literal["read", "write"]
    created_at: datetime


class GrantList(BaseModel):
    """A collection's grants, oldest first."""

    grants: list[GrantOut]
