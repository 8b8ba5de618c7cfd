"""The embedder that is a server with OpenAI's interface: Ollama, vLLM, llama.cpp and others."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from slipway_backend.embedding import Fingerprint
from slipway_backend.embedding.tokens import TokenCounter
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger

RETRY_SECONDS = "10"
_BUSY = (408, 425, 429)
_QUESTION = "dimension"


class EmbeddingFailed(Problem):
    """The embedding server did not answer (503), or answered something of no use (502)."""


class EmbedderBusy(EmbeddingFailed):
    """The embedding server has no time now, whatever it is asked."""


class OpenAIEmbedder:
    """Asks `{address}/embeddings` for the vectors of a model.

    ``dimension`` is asked for once, with the first use, unless it is given. Texts longer than
    ``maximum_tokens`` are cut, because some servers refuse them; ``tokens`` says how long they are.
    """

    def __init__(
        self,
        address: str,
        model: str,
        *,
        tokens: TokenCounter,
        api_key: str = "",
        runtime: str = "openai-compatible",
        precision: str = "as-served",
        batch: int = 32,
        seconds: float = 60.0,
        maximum_tokens: int = 512,
        dimension: int | None = None,
    ) -> None:
        self._address = f"{address.rstrip('/')}/embeddings"
        self._model = model
        self._tokens = tokens
        self._runtime = runtime
        self._precision = precision
        self._batch = batch
        self._maximum_tokens = maximum_tokens
        self._dimension = dimension
        self._asking = threading.Lock()
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._client = httpx.Client(headers=headers, timeout=seconds)
        weakref.finalize(self, self._client.close)

    @property
    def name(self) -> str:
        """The model's name on the server."""
        return self._model

    @property
    def dimension(self) -> int:
        """Length of every vector; the first use may ask the server."""
        with self._asking:
            if self._dimension is None:
                self._dimension = self._request([_QUESTION]).shape[1]
            return self._dimension

    @property
    def fingerprint(self) -> Fingerprint:
        """Model and dimension, with runtime and precision as the settings name them."""
        return Fingerprint(self._model, "openai", self._runtime, self._precision, self.dimension)

    @property
    def runtime(self) -> str:
        """What the settings say that the server runs."""
        return self._runtime

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one L2-normalised row per text.

        Raises EmbeddingFailed when the server does not answer as it should.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), self._batch):
            batch = texts[start : start + self._batch]
            rows = self._request([self._fitting(text) for text in batch])
            if rows.shape[1] != self.dimension:
                raise _unusable(
                    f"vectors of {rows.shape[1]} numbers where it gave {self.dimension} before"
                )
            vectors[start : start + self._batch] = rows
        return vectors

    def count_tokens(self, text: str) -> int:
        """Number of tokens as ``tokens`` counts them."""
        return self._tokens.count([text])[0]

    def count_tokens_many(self, texts: Sequence[str]) -> list[int]:
        """`count_tokens` of every text."""
        return self._tokens.count(texts)

    def _fitting(self, text: str) -> str:
        # No token is shorter than one character. Some servers refuse an empty text.
        if len(text) > self._maximum_tokens:
            text = self._tokens.cut(text, self._maximum_tokens)
        return text or " "

    def _request(self, texts: list[str]) -> NDArray[np.float32]:
        body = {"model": self._model, "input": texts, "encoding_format": "float"}
        try:
            response = self._client.post(self._address, json=body)
        except httpx.HTTPError as error:
            get_logger().error("embedder_unreachable", cause=type(error).__name__)
            raise EmbeddingFailed(
                503,
                "Embedding server unreachable",
                "The configured embedding server did not answer; try again soon.",
                headers={"Retry-After": RETRY_SECONDS},
            ) from None
        if response.status_code >= 500 or response.status_code in _BUSY:
            get_logger().error("embedder_failed", status=response.status_code)
            failure = EmbedderBusy if response.status_code in _BUSY else EmbeddingFailed
            raise failure(
                503,
                "Embedding server busy",
                f"The configured embedding server answered with status {response.status_code}; "
                "try again soon.",
                headers={"Retry-After": RETRY_SECONDS},
            )
        if response.status_code != 200:
            get_logger().error(
                "embedder_refused", status=response.status_code, answer=response.text[:500]
            )
            raise EmbeddingFailed(
                502,
                "Embedding server refused",
                f"The configured embedding server answered with status {response.status_code}: "
                f"check EMBEDDING_BASE_URL, EMBEDDING_API_KEY and that it has {self._model}.",
            )
        try:
            rows = _rows(response.json(), len(texts))
        except (ValueError, KeyError, TypeError):
            raise _unusable("an answer that is not OpenAI's list of vectors") from None
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise _unusable("a vector that has no direction")
        normalised: NDArray[np.float32] = rows / lengths
        return normalised


def _rows(answer: dict[str, Any], wanted: int) -> NDArray[np.float32]:
    """The vectors in the order of the texts; ValueError and the like when they are not that."""
    items = sorted(answer["data"], key=lambda item: int(item["index"]))
    if [item["index"] for item in items] != list(range(wanted)):
        raise ValueError("not one vector per text")
    rows = np.array([item["embedding"] for item in items], dtype=np.float32)
    if rows.ndim != 2 or not rows.shape[1]:
        raise ValueError("vectors of different lengths")
    return rows


def _unusable(what: str) -> EmbeddingFailed:
    get_logger().error("embedder_malformed", what=what)
    return EmbeddingFailed(
        502, "Embedding server failed", f"The configured embedding server gave {what}."
    )
