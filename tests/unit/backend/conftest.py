from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Sequence

import numpy
import pytest
import structlog
from numpy.typing import NDArray
from scripted_llm import scripted_llm  # noqa: F401 - a fixture


class WordEmbedder:
    """Texts that share words are alike: enough to test what is built on an embedder."""

    name = "words"
    dimension = 384
    runtime = "none"

    def embed(self, texts: Sequence[str]) -> NDArray[numpy.float32]:
        rows = numpy.zeros((len(texts), self.dimension), dtype=numpy.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                rows[row, zlib.crc32(word.strip(".,?!").encode()) % self.dimension] += 1
        return rows / numpy.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        return [self.count_tokens(text) for text in texts]


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Commands configure logging for their whole process; a test gives it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def word_embedder() -> WordEmbedder:
    return WordEmbedder()
