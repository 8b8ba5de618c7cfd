"""Documents and how far their ingestion is."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


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
