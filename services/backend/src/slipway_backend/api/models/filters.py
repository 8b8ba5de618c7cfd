"""What a search or a question may be narrowed to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from slipway_backend.filters import Filters

# PostgreSQL's text holds no NUL.
Name = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Text = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00]*$")]
Value = Text | bool | int | Annotated[float, Field(allow_inf_nan=False)]


class FiltersIn(BaseModel):
    """Which documents to look at; what is left out narrows nothing."""

    model_config = ConfigDict(extra="forbid")

    collections: list[Name] = Field(
        default_factory=list, max_length=100, description="names of collections"
    )
    sources: list[Name] = Field(
        default_factory=list,
        max_length=100,
        description="names of documents; one that ends with * is a beginning",
    )
    dated_from: datetime | None = Field(
        None, description="the document's date, or its upload's, is this or later"
    )
    dated_before: datetime | None = Field(None, description="and earlier than this")
    metadata: dict[Name, Value] = Field(
        default_factory=dict,
        max_length=20,
        description="keys and values that a document's metadata must all have",
    )

    @field_validator("dated_from", "dated_before")
    @classmethod
    def _in_a_time_zone(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def to_filters(self) -> Filters:
        """The filters as search knows them."""
        metadata: dict[str, Any] = dict(self.metadata)
        return Filters(
            collections=tuple(self.collections),
            sources=tuple(self.sources),
            dated_from=self.dated_from,
            dated_before=self.dated_before,
            metadata=metadata,
        )
