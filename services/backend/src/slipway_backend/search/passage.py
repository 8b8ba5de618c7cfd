"""One passage that a search found."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True)
class Passage:
    """One passage that was found, and where it stands.

    ``score`` is the fused rank score, or the reranker's where one ordered the answer;
    ``similarity`` the cosine to the query (-1 to 1). ``text_rank`` and ``vector_rank`` count from 1
    in each half; ``None``: that half did not find it. ``version`` is the document's version that
    the passage is from, ``source`` the document's name in its collection.
    """

    document_id: UUID
    filename: str
    chunk_id: int
    page: int | None
    heading: str
    text: str
    score: float
    similarity: float
    has_every_word: bool
    collection: str = "default"
    source: str | None = None
    version: int | None = None
    position: int = 0
    ends_on_page: int | None = None
    text_rank: int | None = None
    vector_rank: int | None = None
