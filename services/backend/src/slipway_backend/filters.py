"""What a search may be narrowed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Filters:
    """Which documents a search looks at; an empty filter narrows nothing.

    ``collections`` are names; ``sources`` exact names of documents, or their beginnings when they
    end with ``*``; the dates bound `dated_at`, or the upload where a document has no date;
    ``metadata`` holds keys and values that a document's metadata must all have.
    """

    collections: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    dated_from: datetime | None = None
    dated_before: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


EVERYTHING = Filters()
