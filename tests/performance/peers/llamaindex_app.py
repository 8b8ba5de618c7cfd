"""LlamaIndex on PostgreSQL behind FastAPI, put together as its documentation shows.

Environment: DATABASE_URL, PEER_EMBEDDING (`torch`, or `onnx:<folder of an fp32 model>`),
PEER_EF_SEARCH (empty: 40, the default of both).
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from fastapi import FastAPI, Request
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores.utils import node_to_metadata_dict
from llama_index.vector_stores.postgres import PGVectorStore
from performance.peers.embedding import llamaindex_embedding
from performance.peers.wire import Given, Passages, Search, Texts, given_rows, seconds_of

TABLE = "llamaindex_chunks"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["DATABASE_URL"]
    store = PGVectorStore.from_params(
        connection_string=url.replace("postgresql://", "postgresql+psycopg2://"),
        async_connection_string=url.replace("postgresql://", "postgresql+asyncpg://"),
        table_name=TABLE,
        embed_dim=384,
        hybrid_search=True,
        text_search_config="english",
        hnsw_kwargs={
            "hnsw_m": 16,
            "hnsw_ef_construction": 128,
            "hnsw_ef_search": int(os.environ.get("PEER_EF_SEARCH") or 40),
            "hnsw_dist_method": "vector_cosine_ops",
        },
    )
    model = llamaindex_embedding(os.environ["PEER_EMBEDDING"])
    app.state.index = VectorStoreIndex.from_vector_store(store, embed_model=model)
    app.state.store = store
    if os.environ.get("PEER_SETUP"):
        await store.async_add([])
    yield
    await store.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "live"}


@app.get("/template")
async def template() -> dict[str, str]:
    """How a node's metadata is written, for tables that are filled by SQL."""
    name = str(uuid4())
    node = TextNode(id_=name, text="", metadata={"source": "manual"})
    return {"template": json.dumps(node_to_metadata_dict(node, remove_text=True)), "name": name}


@app.post("/search")
async def search(body: Search, request: Request) -> Passages:
    index: VectorStoreIndex = request.app.state.index
    retriever = index.as_retriever(
        similarity_top_k=body.limit,
        sparse_top_k=body.limit,
        vector_store_query_mode="hybrid" if body.hybrid else "default",
    )
    found = await retriever.aretrieve(body.query)
    return Passages.of((each.node.get_content(), each.score) for each in found[: body.limit])


@app.post("/documents")
async def add(body: Texts, request: Request) -> dict[str, int]:
    index: VectorStoreIndex = request.app.state.index
    nodes = [TextNode(text=text, metadata={"source": body.name}) for text in body.texts]
    await index.ainsert_nodes(nodes)
    return {"chunks": len(nodes)}


@app.post("/given")
async def add_given(body: Given, request: Request) -> dict[str, float]:
    """Store chunks whose vectors are given; tells the seconds of the storing alone."""
    store: PGVectorStore = request.app.state.store
    texts, vectors = given_rows(body)
    nodes = [
        TextNode(text=text, embedding=vector, metadata={"source": "given"})
        for text, vector in zip(texts, vectors, strict=True)
    ]
    return await seconds_of(store.async_add(nodes))
