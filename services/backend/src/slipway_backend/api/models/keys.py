"""API keys."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.access import Scope

CollectionName = Annotated[
    str, StringConstraints(min_length=1, max_length=63, pattern=r"^[^\x00]+$")
]


def _representable(value: AwareDatetime) -> AwareDatetime:
    # Other years leave what Python can hold as soon as a time zone moves them.
    if not 1 < value.year < 9999:
        raise ValueError("must be between the years 2 and 9998")
    return value


class NewKey(BaseModel):
    """An API key to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    ] = Field(description="what it is for")
    scopes: Annotated[
        list[Scope],
        Field(min_length=1, max_length=3, description="write holds read, admin holds both"),
    ] = ["read"]
    collections: Annotated[list[CollectionName], Field(min_length=1, max_length=1000)] | None = (
        Field(None, description="names; left out: every collection that the user has")
    )
    expires_at: Annotated[AwareDatetime, AfterValidator(_representable)] | None = Field(
        None, description="left out: never"
    )


class KeyOut(BaseModel):
    """An API key without its secret."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    user_id: UUID
    username: str
    name: str
    prefix: str = Field(description="how the key begins, to recognise it by")
    scopes: list[Scope]
    collections: list[str] | None
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    revoked_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = Field(description="to the minute")


class MadeKey(KeyOut):
    """A new API key with its secret, which is shown this once."""

    key: str = Field(description="send it as `Authorization: Bearer ...`; it cannot be shown again")


class KeyList(BaseModel):
    """API keys, newest first."""

    keys: list[KeyOut]
    total: int
