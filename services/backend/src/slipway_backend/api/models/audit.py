"""The audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class AuditEntry(BaseModel):
    """One line of the log."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    at: datetime
    user_id: UUID | None
    username: str | None
    api_key_id: UUID | None
    action: str
    collections: list[str] = Field(description="names; empty: none was named")
    object: str | None
    outcome: str = Field(description="ok, refused or failed")
    address: str | None
    request_id: str | None
    details: dict[str, Any]


class AuditPage(BaseModel):
    """Entries, newest first."""

    entries: list[AuditEntry]
    before: int | None = Field(description="give it as `before` for the next page; null at the end")
