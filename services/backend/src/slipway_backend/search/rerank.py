"""An optional second opinion on the order of passages, from any `/v1/rerank` server.

Cohere, Jina, vLLM, llama.cpp and others answer the same request: `{model, query, documents, top_n}`
with `{results: [{index, relevance_score}]}`. The time is boxed: whatever goes wrong, the fused
order is used.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace

import httpx

from slipway_backend.logs import get_logger
from slipway_backend.metrics import Metrics
from slipway_backend.search.passage import Passage
from slipway_backend.settings import Settings

# An answer is an index and a number for each passage.
MOST_BYTES = 1024 * 1024
# A reranker reads every passage anew, so it gets those only that may come first.
MOST_PASSAGES = 50


class NotUnderstood(Exception):
    """The server answered something else than an order of the passages."""


class Reranker:
    """Orders passages by what the configured server says of each."""

    def __init__(self, settings: Settings, metrics: Metrics, client: httpx.AsyncClient) -> None:
        self._base_url = settings.require_reranker()
        self._settings = settings
        self._metrics = metrics
        self._client = client

    @property
    def configured(self) -> bool:
        """Whether there is a server to ask."""
        return bool(self._base_url)

    async def rerank(
        self, query: str, passages: Sequence[Passage], *, limit: int
    ) -> list[Passage] | None:
        """Return the best passages with the server's scores; None when it fails or is too slow."""
        if not passages:
            return []
        outcome, ordered = "reranked", []
        try:
            async with asyncio.timeout(self._settings.rerank_seconds):
                content = await self._ask(query, passages, limit)
            ordered = read_order(content, len(passages), least=min(limit, len(passages)))
        except TimeoutError:
            outcome = "timeout"
        except httpx.HTTPStatusError as error:
            outcome = "refused"
            get_logger().warning("rerank_refused", status=error.response.status_code)
        except httpx.HTTPError as error:
            outcome = "unreachable"
            get_logger().warning("rerank_unreachable", cause=type(error).__name__)
        except NotUnderstood as error:
            outcome = "malformed"
            get_logger().warning("rerank_malformed", cause=str(error))
        self._metrics.reranks.labels(outcome).inc()
        if outcome != "reranked":
            return None
        return [replace(passages[index], score=score) for index, score in ordered[:limit]]

    async def _ask(self, query: str, passages: Sequence[Passage], limit: int) -> bytes:
        headers = {}
        if self._settings.rerank_api_key:
            headers["Authorization"] = f"Bearer {self._settings.rerank_api_key}"
        body = {
            "model": self._settings.rerank_model,
            "query": query,
            "documents": [_text(passage) for passage in passages],
            "top_n": min(limit, len(passages)),
        }
        content = bytearray()
        async with self._client.stream(
            "POST",
            f"{self._base_url}/rerank",
            json=body,
            headers=headers,
            timeout=self._settings.rerank_seconds,
        ) as response:
            response.raise_for_status()
            async for part in response.aiter_bytes():
                content += part
                if len(content) > MOST_BYTES:
                    raise NotUnderstood("the answer is too long")
        return bytes(content)


def _text(passage: Passage) -> str:
    return f"{passage.heading}\n{passage.text}" if passage.heading else passage.text


def read_order(content: bytes, passages: int, *, least: int) -> list[tuple[int, float]]:
    """The order in an answer: indexes of passages with their scores, best first.

    Raises NotUnderstood unless each entry names a passage, once, with a finite score, and at least
    ``least`` of them do.
    """
    try:
        results = httpx.Response(200, content=content).json()["results"]
        order = [(entry["index"], float(entry["relevance_score"])) for entry in results]
    except (ValueError, KeyError, TypeError):
        raise NotUnderstood("no results with index and relevance_score") from None
    indexes = [index for index, _ in order]
    known = all(isinstance(index, int) and 0 <= index < passages for index in indexes)
    if len(order) < least or not known or len(set(indexes)) < len(indexes):
        raise NotUnderstood("the indexes are not those of the passages")
    if not all(math.isfinite(score) for _, score in order):
        raise NotUnderstood("a score is not a number")
    return sorted(order, key=lambda entry: (-entry[1], entry[0]))
