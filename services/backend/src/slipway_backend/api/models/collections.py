"""Collections."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.api.models.documents import CollectionName

Description = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,63}$")]


class CollectionOut(BaseModel):
    """A named set of documents that people are given access to."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    description: str
    language: str = Field(description="of documents whose own language is not known")
    writable: bool = Field(description="whether you may upload and delete here")
    documents: int
    chunks: int = Field(description="passages served")
    created_at: datetime
    updated_at: datetime


class CollectionList(BaseModel):
    """Every collection that one may see, by name."""

    collections: list[CollectionOut]


class NewCollection(BaseModel):
    """A collection to make."""

    name: CollectionName
    description: Description = ""
    language: Language = "english"


class CollectionChanges(BaseModel):
    """What to change; what is left out stays."""

    name: CollectionName | None = None
    description: Description | None = None
    language: Language | None = None
