"""What one upload has cost so far, counted over everything that is packed into it."""

from __future__ import annotations

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits

# Text compresses about ten to one, repetitive XML up to a hundred; bombs reach a thousand.
MAX_RATIO = 300
RATIO_MATTERS_ABOVE = 20 * 1024 * 1024
MAX_PARTS = 10_000
MAX_DEPTH = 3


class LimitReached(DocumentError):
    """A limit of the whole upload: reading on in its other parts would not help."""


class Budget:
    """Counts unpacked bytes, parts, pages and characters of one upload against its limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.depth = 0
        self._expanded = 0
        self._parts = 0
        self._pages = 0
        self._characters = 0

    def unpack(self, packed: int, expanded: int, parts: int) -> None:
        """Count a container before anything of it is unpacked; raise LimitReached for a bomb."""
        self._expanded += expanded
        self._parts += parts
        too_dense = expanded > RATIO_MATTERS_ABOVE and expanded / max(1, packed) > MAX_RATIO
        too_large = self._expanded > self.limits.expanded_bytes or self._parts > MAX_PARTS
        if too_dense or too_large:
            raise LimitReached(
                f"The file unpacks from {packed} to {self._expanded} bytes in {self._parts} parts, "
                "which looks like a ZIP bomb; it was not unpacked."
            )

    def add_pages(self, pages: int, what: str) -> None:
        """Count pages, slides or sheets; ``what`` names the document kind, as in "The PDF"."""
        self._pages += pages
        if self._pages > self.limits.pages:
            raise LimitReached(
                f"{what} has {self._pages} pages, more than the {self.limits.pages} accepted."
            )

    def add_text(self, blocks: list[Block]) -> None:
        """Count the characters of what was read."""
        self._characters += sum(len(block.text) for block in blocks)
        if self._characters > self.limits.text_characters:
            raise LimitReached(
                f"The document holds {self._characters} characters of text, more than the "
                f"{self.limits.text_characters} accepted: split it."
            )
