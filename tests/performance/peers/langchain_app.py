"""LangChain on PostgreSQL behind FastAPI, put together as its documentation shows.

Environment: DATABASE_URL, PEER_EMBEDDING (`torch`, or `onnx:<folder of an fp32 model>`),
PEER_EF_SEARCH (empty: pgvector's default).
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from langchain_core.documents import Document
from langchain_postgres import PGEngine
from langchain_postgres.v2.async_vectorstore import AsyncPGVectorStore
from langchain_postgres.v2.hybrid_search_config import HybridSearchConfig, reciprocal_rank_fusion
from langchain_postgres.v2.indexes import HNSWIndex
from performance.peers.embedding import langchain_embeddings
from performance.peers.wire import Given, Passages, Search, Texts, given_rows, seconds_of
from sqlalchemy.ext.asyncio import create_async_engine

TABLE = "langchain_chunks"
TSV = "content_tsv"


def hybrid(question: str, limit: int) -> HybridSearchConfig:
    # One per question: a store's own configuration keeps the words of the first question for ever.
    return HybridSearchConfig(
        tsv_column=TSV,
        fts_query=question,
        fusion_function=reciprocal_rank_fusion,
        primary_top_k=limit,
        secondary_top_k=limit,
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    ef_search = os.environ.get("PEER_EF_SEARCH")
    settings = {"server_settings": {"hnsw.ef_search": ef_search}} if ef_search else {}
    engine = PGEngine.from_engine(create_async_engine(url, connect_args=settings))
    if os.environ.get("PEER_SETUP"):
        await engine.ainit_vectorstore_table(
            TABLE, 384, hybrid_search_config=HybridSearchConfig(tsv_column=TSV)
        )
    app.state.store = await AsyncPGVectorStore.create(
        engine,
        langchain_embeddings(os.environ["PEER_EMBEDDING"]),
        TABLE,
        hybrid_search_config=HybridSearchConfig(tsv_column=TSV, index_name=f"{TABLE}_tsv"),
    )
    if os.environ.get("PEER_SETUP"):
        await app.state.store.aapply_vector_index(HNSWIndex(m=16, ef_construction=128))
        await app.state.store.aapply_hybrid_search_index()
    yield
    await engine.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "live"}


@app.post("/search")
async def search(body: Search, request: Request) -> Passages:
    store: AsyncPGVectorStore = request.app.state.store
    options: dict[str, Any] = {
        "hybrid_search_config": hybrid(body.query, body.limit) if body.hybrid else None
    }
    found = await store.asimilarity_search_with_score(body.query, k=body.limit, **options)
    return Passages.of((document.page_content, score) for document, score in found)


@app.post("/documents")
async def add(body: Texts, request: Request) -> dict[str, int]:
    store: AsyncPGVectorStore = request.app.state.store
    documents = [Document(page_content=text, metadata={"source": body.name}) for text in body.texts]
    return {"chunks": len(await store.aadd_documents(documents))}


@app.post("/given")
async def add_given(body: Given, request: Request) -> dict[str, float]:
    """Store chunks whose vectors are given; tells the seconds of the storing alone."""
    store: AsyncPGVectorStore = request.app.state.store
    texts, vectors = given_rows(body)
    metadatas = [{"source": "given"} for _ in texts]
    return await seconds_of(store.aadd_embeddings(texts, vectors, metadatas))
