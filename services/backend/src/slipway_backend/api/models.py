"""What goes over the wire, in and out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

# PostgreSQL's text holds no NUL, and a name that is cleaned later would be throttled as another.
Username = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Question = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class ProblemDetails(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(description="about:blank, the status says the kind")
    title: str = Field(description="the kind of problem")
    status: int
    detail: str = Field(description="what happened and what to do")
    instance: str = Field(description="the path that was asked for")
    request_id: str | None = Field(description="finds the request in the logs")


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


class DocumentOut(BaseModel):
    """A document and how far its ingestion is."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    filename: str
    media_type: str = Field(description="after ingestion: what the content really is")
    bytes: int
    sha256: str
    status: Literal["queued", "processing", "ready", "failed"]
    error: str | None = Field(description="why ingestion failed, in one sentence")
    pages: int | None = Field(description="for formats that have pages")
    chunks: int = Field(description="passages stored")
    created_at: datetime
    updated_at: datetime


class DocumentList(BaseModel):
    """One page of the list of documents, newest first."""

    documents: list[DocumentOut]
    total: int


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


class Health(BaseModel):
    """Whether this instance lives or is ready."""

    status: Literal["live", "ready", "not ready", "draining"]
    reason: str | None = None
    generation: str
    release: str
