"""From a file's bytes to blocks of text with their pages and headings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

CELL_SEPARATOR = " | "
Kind = Literal["heading", "text", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of a document that belongs together.

    ``level`` is 1 or more for headings (1 to 6 in one file, deeper inside archives) and 0
    otherwise; ``page`` counts from 1 where pages, slides or sheets exist. A table's rows are lines
    whose cells are separated by ``CELL_SEPARATOR``.
    """

    kind: Kind
    text: str
    level: int = 0
    page: int | None = None


@dataclass(frozen=True)
class Parsed:
    """What a parser found in a document.

    ``pages`` also counts slides and sheets. ``skipped`` names the members of an archive that could
    not be read, each with its reason. ``language`` is the name of a text search configuration of
    PostgreSQL, or None when unsure.
    """

    media_type: str
    blocks: list[Block] = field(default_factory=list)
    pages: int | None = None
    skipped: list[str] = field(default_factory=list)
    language: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for the way between processes."""
        # Rows instead of one mapping per block: a document may have a million of them.
        rows = [(block.kind, block.text, block.level, block.page) for block in self.blocks]
        return {
            "media_type": self.media_type,
            "pages": self.pages,
            "blocks": rows,
            "skipped": self.skipped,
            "language": self.language,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Parsed:
        """Read back what ``to_json`` made."""
        blocks = [Block(*row) for row in value["blocks"]]
        return cls(**{**value, "blocks": blocks})


@dataclass(frozen=True)
class Limits:
    """What one document may cost. Bytes, pages, characters, seconds."""

    memory_bytes: int
    seconds: float
    expanded_bytes: int
    pages: int
    text_characters: int
