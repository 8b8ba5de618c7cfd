"""OpenAI's embeddings, from the embedder of the set that is served."""

from __future__ import annotations

import base64

import anyio.to_thread
import numpy
from fastapi import APIRouter
from numpy.typing import NDArray

from slipway_backend.api.identity import Reader
from slipway_backend.api.models.embeddings import (
    EmbeddingList,
    EmbeddingOut,
    EmbeddingRequest,
    EmbeddingUsage,
)
from slipway_backend.api.problems import describe
from slipway_backend.api.routes.models import unknown_model
from slipway_backend.api.state import StateDependency
from slipway_backend.errors import Problem

router = APIRouter(prefix="/v1/embeddings", tags=["openai"])


@router.post("", responses=describe(400, 401, 403, 404, 422, 502, 503))
async def create_embeddings(
    body: EmbeddingRequest,
    state: StateDependency,
    identity: Reader,  # noqa: ARG001 - only who may read may ask
) -> EmbeddingList:
    """Turn texts into the vectors that searches compare, each of length 1."""
    serving = await state.sets.serving()
    embedder = serving.embedder
    if body.model != embedder.name:
        raise unknown_model(body.model)
    if body.dimensions not in (None, serving.dimension):
        raise Problem(
            400,
            "Not supported",
            f"{embedder.name} has {serving.dimension} dimensions and no other number.",
            extensions={"cause": "unsupported_value", "param": "dimensions"},
        )
    # PostgreSQL's text holds no NUL, so no stored passage was embedded with one.
    texts = [body.input] if isinstance(body.input, str) else body.input
    texts = [text.replace("\x00", " ") for text in texts]
    with state.metrics.stage("embed"):
        vectors = await anyio.to_thread.run_sync(
            embedder.embed, texts, limiter=state.embedding_requests
        )
        counts = await anyio.to_thread.run_sync(embedder.count_tokens_many, texts)
    return EmbeddingList(
        data=[
            EmbeddingOut(index=index, embedding=_encoded(vector, body.encoding_format))
            for index, vector in enumerate(vectors)
        ],
        model=embedder.name,
        usage=EmbeddingUsage(prompt_tokens=sum(counts), total_tokens=sum(counts)),
    )


def _encoded(vector: NDArray[numpy.float32], encoding: str) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    values: list[float] = vector.tolist()
    return values
