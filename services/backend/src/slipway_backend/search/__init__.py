"""Hybrid search: full text and vectors in one statement, fused by reciprocal rank."""

from __future__ import annotations

from slipway_backend.search.passage import Passage
from slipway_backend.search.rerank import Reranker
from slipway_backend.search.sampling import StageSampler
from slipway_backend.search.searcher import Found, Searcher
from slipway_backend.search.statement import Mode

__all__ = ["Found", "Mode", "Passage", "Reranker", "Searcher", "StageSampler"]
