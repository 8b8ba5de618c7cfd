"""Searching passages."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from slipway_backend.api.models.common import Question
from slipway_backend.api.models.filters import FiltersIn


class SearchRequest(BaseModel):
    """A search."""

    model_config = ConfigDict(extra="forbid")

    query: Question
    limit: int = Field(10, ge=1, le=50)
    filters: FiltersIn = Field(default_factory=FiltersIn, description="where to look")
    timings: bool = Field(default=False, description="tell the seconds that each stage took")


class SearchResult(BaseModel):
    """One passage that was found."""

    model_config = ConfigDict(from_attributes=True)

    document_id: UUID
    filename: str
    collection: str
    source: str | None = Field(description="the document's name in its collection")
    version: int | None = Field(description="of the document, counted from 1")
    chunk_id: int
    page: int | None = Field(description="on which the passage begins")
    ends_on_page: int | None
    heading: str = Field(description="headings above the passage, outermost first")
    text: str
    score: float = Field(
        description="fused rank score, or the reranker's; comparable within one answer only"
    )
    similarity: float = Field(description="cosine of the passage's vector and the query's")
    text_rank: int | None = Field(description="place by words, from 1; none: not among the best")
    vector_rank: int | None = Field(description="place by meaning, likewise")


class SearchResults(BaseModel):
    """Passages, best first."""

    results: list[SearchResult]
    reranked: bool = Field(description="false: the fused order, without or despite a reranker")
    timings: dict[str, float] | None = Field(None, description="seconds by stage, if asked for")
