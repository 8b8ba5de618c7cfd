"""What a search may be narrowed to, and the SQL for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

_LAST_CHARACTER = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)


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

    def conditions(self) -> str:
        """What a row of `documents` must satisfy, as SQL joined by AND; empty: nothing.

        Collections are not part of it: a search resolves them together with the right to read.
        """
        parts = []
        if self.sources:
            parts.append(
                "EXISTS (SELECT FROM unnest(%(first_sources)s::text[], %(after_sources)s::text[])"
                " AS span (first, after) WHERE documents.source ~>=~ span.first"
                " AND documents.source ~<~ span.after)"
            )
        if self.dated_from is not None:
            parts.append("coalesce(documents.dated_at, documents.created_at) >= %(dated_from)s")
        if self.dated_before is not None:
            parts.append("coalesce(documents.dated_at, documents.created_at) < %(dated_before)s")
        if self.metadata:
            parts.append("documents.metadata @> %(metadata)s")
        return " AND ".join(parts)

    def parameters(self) -> dict[str, Any]:
        """The values for ``conditions``."""
        values: dict[str, Any] = {}
        if self.sources:
            spans = [source_span(source) for source in self.sources]
            values["first_sources"] = [first for first, _ in spans]
            values["after_sources"] = [after for _, after in spans]
        if self.dated_from is not None:
            values["dated_from"] = self.dated_from
        if self.dated_before is not None:
            values["dated_before"] = self.dated_before
        if self.metadata:
            values["metadata"] = Jsonb(dict(self.metadata))
        return values


EVERYTHING = Filters()


def source_span(source: str) -> tuple[str, str]:
    """The first text that a filter on sources accepts, and the first after those, by code points.

    An exact name is a span of one. Both kinds are one comparison that an index serves.
    """
    if not source.endswith("*"):
        return source, source + "\x01"
    first = source[:-1]
    for length in range(len(first), 0, -1):
        code = ord(first[length - 1]) + 1
        if code == _SURROGATES[0]:
            code = _SURROGATES[1] + 1
        if code <= _LAST_CHARACTER:
            return first, first[: length - 1] + chr(code)
    # Nothing comes after every text; names of documents are shorter than this.
    return first, chr(_LAST_CHARACTER) * 64
