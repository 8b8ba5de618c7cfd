"""Documents, how far their ingestion is, and their passages."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.collections import NAME_PATTERN

MAX_SOURCE_BYTES = 2000  # a row of PostgreSQL's B-tree holds 2704
Status = Literal["queued", "processing", "ready", "failed"]


def _source(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must hold no control characters")
    if len(value.encode("utf-8", errors="replace")) > MAX_SOURCE_BYTES:
        raise ValueError(f"must have at most {MAX_SOURCE_BYTES} bytes")
    return value


def _moment(value: datetime) -> datetime:
    # Other years leave what Python can hold as soon as a time zone moves them.
    if not 1 < value.year < 9999:
        raise ValueError("must be between the years 2 and 9998")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


CollectionName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Source = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_source)
]
Moment = Annotated[datetime, AfterValidator(_moment)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class UploadFields(BaseModel):
    """What an upload may say about its document, in the query or as form fields."""

    collection: CollectionName = "default"
    source: Source | None = None
    metadata: str | None = None
    dated_at: Moment | None = None


def read_metadata(text: str, limit: int) -> dict[str, Any]:
    """Read a JSON object of at most ``limit`` bytes; raise ValueError with what is wrong."""
    if len(text.encode("utf-8", errors="replace")) > limit:
        raise ValueError(f"metadata must have at most {limit} bytes")
    again = ""
    try:
        value = json.loads(text)
        # What PostgreSQL's JSON cannot hold: NUL, lone surrogates, numbers that are none.
        again = json.dumps(value, ensure_ascii=False, allow_nan=False)
        again.encode()
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict) and "\\u0000" not in again:
        return value
    raise ValueError("metadata must be a JSON object without the character NUL")


class ProgressOut(BaseModel):
    """How far the newest upload is."""

    pages: int | None = Field(None, description="for formats that have pages, after parsing")
    chunks_done: int = Field(0, description="passages embedded")
    chunks_total: int = Field(0, description="passages to embed, 0 before they are known")
    skipped: list[str] = Field([], description="what of an archive could not be read, with reasons")
    seconds: dict[str, float] = Field({}, description="time of each stage that ended")


class DocumentOut(BaseModel):
    """A document and how far its ingestion is."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    collection: str
    source: str = Field(description="what the document is called within its collection")
    version: int = Field(description="of the newest upload")
    served_version: int | None = Field(description="what search finds; none before the first end")
    filename: str
    media_type: str = Field(description="after ingestion: what the content really is")
    bytes: int
    sha256: str
    status: Status = Field(description="of the newest upload")
    stage: Literal["queued", "parse", "chunk", "embed", "store", "ready"] = Field(
        description="where the newest upload is, or where it failed"
    )
    progress: ProgressOut
    error: str | None = Field(description="why ingestion failed, in one sentence")
    pages: int | None = Field(description="for formats that have pages")
    chunks: int = Field(description="passages served")
    language: str | None = Field(description="of the served version, as full-text search takes it")
    metadata: dict[str, Any]
    dated_at: datetime | None
    created_at: datetime
    updated_at: datetime


class DocumentList(BaseModel):
    """One page of the list of documents, newest first."""

    documents: list[DocumentOut]
    total: int


class PassageOut(BaseModel):
    """One passage of a served version."""

    model_config = ConfigDict(from_attributes=True)

    chunk_id: int
    position: int = Field(description="order in the document, from 0")
    page: int | None
    ends_on_page: int | None
    heading: str
    text: str
    tokens: int
    language: str


class PassageList(BaseModel):
    """One page of a served version's passages, in the order of the document."""

    document_id: UUID
    version: int
    passages: list[PassageOut]
    total: int
