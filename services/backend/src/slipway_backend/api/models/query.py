"""Questions and their answers."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from slipway_backend.api.models.common import Question


class QueryRequest(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    limit: int = Field(5, ge=1, le=20, description="passages to answer from")


class CitationOut(BaseModel):
    """A passage that the answer rests on; `[number]` in the answer refers to it."""

    number: int
    document_id: UUID
    filename: str
    page: int | None
    heading: str
    passage: str
    score: float


class QueryAnswer(BaseModel):
    """An answer with its citations; without citations nothing relevant was found."""

    answer: str
    mode: Literal["extractive", "generated"] = Field(
        description="extractive: sentences of the passages; generated: by the language model"
    )
    citations: list[CitationOut]
