"""Logging in and out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# PostgreSQL's text holds no NUL, and a name that is cleaned later would be throttled as another.
Username = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Password = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class Login(BaseModel):
    """A user name and its password."""

    model_config = ConfigDict(extra="forbid")

    username: Username
    password: Password


class Refresh(BaseModel):
    """The refresh token that the last login or refresh gave."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Logout(BaseModel):
    """Which sessions end."""

    model_config = ConfigDict(extra="forbid")

    everywhere: bool = Field(False, description="end every session of the user, not only this one")


class Token(BaseModel):
    """An access token, and the refresh token that gets the next one."""

    access_token: str = Field(description="send it as `Authorization: Bearer ...`")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # nosec B105 - a scheme's name
    expires_in: int = Field(description="seconds until it expires")
    refresh_token: str = Field(description="good for one POST /v1/refresh")
    refresh_expires_in: int = Field(description="seconds until the session ends when not refreshed")
