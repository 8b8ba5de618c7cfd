"""Embedding sets: the vectors of one embedder over all documents, several of them side by side.

One set is served. Another may be in the building, and earlier ones are kept to go back to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from slipway_backend.embedding import Embedder


@dataclass(frozen=True)
class EmbeddingSet:
    """A set that this process can use: its number, and the embedder that its vectors come from."""

    id: int
    embedder: Embedder

    @property
    def dimension(self) -> int:
        """Length of the set's vectors."""
        return self.embedder.dimension


class Serving(Protocol):
    """Whoever knows which set searches look at."""

    async def serving(self) -> EmbeddingSet:
        """Return the set that is served now; a search asks once and stays with the answer."""


@dataclass(frozen=True)
class FixedServing:
    """Always the same set, for comparing two."""

    chosen: EmbeddingSet

    async def serving(self) -> EmbeddingSet:
        """Return the set given."""
        return self.chosen
