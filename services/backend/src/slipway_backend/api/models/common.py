"""What several nouns share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="about:blank, the status says the kind")
    title: str = Field(description="the kind of problem")
    status: int
    detail: str = Field(description="what happened and what to do")
    instance: str = Field(description="the path that was asked for")
    request_id: str | None = Field(description="finds the request in the logs")
