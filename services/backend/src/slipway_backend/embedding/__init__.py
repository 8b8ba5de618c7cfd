"""Turning text into vectors, behind one interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy
from numpy.typing import NDArray

Provider = Literal["builtin", "openai"]


@dataclass(frozen=True)
class Fingerprint:
    """What vectors come from. Vectors of two fingerprints never meet in one index.

    ``runtime`` is the one that defines the arithmetic; another that is held to the same arithmetic
    may compute it. ``weights_sha256`` is empty where the weights are out of sight, on a server.
    """

    model: str
    provider: Provider
    runtime: str
    precision: str
    dimension: int
    weights_sha256: str = ""

    def __str__(self) -> str:
        """The fingerprint as it is stored with the vectors."""
        parts = [self.provider, self.runtime, self.model, self.precision, str(self.dimension)]
        return " ".join([*parts, self.weights_sha256] if self.weights_sha256 else parts)


class Embedder(Protocol):
    """Whatever turns texts into vectors of one fixed dimension.

    Calls block their thread; several threads may call at once. An embedder that is a server raises
    `slipway_backend.embedding.openai.EmbeddingFailed` when it does not answer as it should.
    """

    @property
    def name(self) -> str:
        """The model's name, as people know it."""

    @property
    def dimension(self) -> int:
        """Length of every vector."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What the vectors come from, stored with them."""

    @property
    def runtime(self) -> str:
        """What computes the vectors, for logs and figures."""

    def embed(self, texts: Sequence[str]) -> NDArray[numpy.float32]:
        """Return one L2-normalised row per text, shape ``(len(texts), dimension)``."""

    def count_tokens(self, text: str) -> int:
        """Number of the model's tokens in a text, without special tokens."""

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        """``count_tokens`` of every text, faster than one by one."""
