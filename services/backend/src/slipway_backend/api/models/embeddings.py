"""OpenAI's embeddings: what a request asks, and what an answer holds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

MAX_TEXTS = 128
Text = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class EmbeddingRequest(BaseModel):
    """Texts to turn into vectors. Tokens instead of texts are not understood."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="the embedding model that GET /v1/models lists"
    )
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="base64: 32-bit floats, little-endian"
    )
    dimensions: int | None = Field(None, description="the model's own number and nothing else")


class EmbeddingOut(BaseModel):
    """The vector of one text, of length 1."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """What the texts were long."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(BaseModel):
    """Vectors in the order of the texts."""

    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: EmbeddingUsage
