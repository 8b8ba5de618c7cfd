"""Turning text into vectors, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy
from numpy.typing import NDArray


class Embedder(Protocol):
    """Whatever turns texts into vectors of one fixed dimension.

    ``name`` identifies the model (it is stored with the data: vectors of two models never mix).
    """

    @property
    def name(self) -> str:
        """The model's name, stored with the vectors."""

    @property
    def dimension(self) -> int:
        """Length of every vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[numpy.float32]:
        """Return one L2-normalised row per text, shape ``(len(texts), dimension)``."""

    def count_tokens(self, text: str) -> int:
        """Number of the model's tokens in a text, without special tokens."""

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        """``count_tokens`` of every text, faster than one by one."""
