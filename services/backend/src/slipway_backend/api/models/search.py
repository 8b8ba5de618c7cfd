"""Searching passages."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from slipway_backend.api.models.common import Question


class SearchRequest(BaseModel):
    """A search."""

    model_config = ConfigDict(extra="forbid")

    query: Question
    limit: int = Field(10, ge=1, le=50)


class SearchResult(BaseModel):
    """One passage that was found."""

    model_config = ConfigDict(from_attributes=True)

    document_id: UUID
    filename: str
    chunk_id: int
    page: int | None
    heading: str = Field(description="headings above the passage, outermost first")
    text: str
    score: float = Field(description="fused rank score; comparable within one answer only")


class SearchResults(BaseModel):
    """Passages, best first."""

    results: list[SearchResult]
