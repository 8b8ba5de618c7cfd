"""Logging in."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# PostgreSQL's text holds no NUL, and a name that is cleaned later would be throttled as another.
Username = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class Login(BaseModel):
    """A user name and its password."""

    model_config = ConfigDict(extra="forbid")

    username: Username
    password: Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Token(BaseModel):
    """An access token."""

    access_token: str = Field(description="send it as `Authorization: Bearer ...`")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # nosec B105 - a scheme's name
    expires_in: int = Field(description="seconds until it expires")
