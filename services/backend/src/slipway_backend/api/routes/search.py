"""Searching passages."""

from __future__ import annotations

from fastapi import APIRouter

from slipway_backend.api.identity import Reader
from slipway_backend.api.models.search import SearchRequest, SearchResult, SearchResults
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search", responses=describe(401, 403, 422, 503))
async def search(body: SearchRequest, state: StateDependency, identity: Reader) -> SearchResults:
    """Find passages by words and by meaning, fused by reciprocal rank, best first.

    The words accept quotes for phrases and a minus sign for exclusions.
    """
    found = await state.searcher.find(
        body.query, identity=identity, filters=body.filters.to_filters(), limit=body.limit
    )
    return SearchResults(
        results=[SearchResult.model_validate(passage) for passage in found.passages],
        reranked=found.reranked,
        timings=found.seconds if body.timings else None,
    )
