"""Searching passages and asking questions."""

from __future__ import annotations

from fastapi import APIRouter

from slipway_backend.api.identity import Reader
from slipway_backend.api.models.query import CitationOut, QueryAnswer, QueryRequest
from slipway_backend.api.models.search import SearchRequest, SearchResult, SearchResults
from slipway_backend.api.problems import describe
from slipway_backend.api.state import StateDependency

router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search", responses=describe(401, 403, 422, 503))
async def search(body: SearchRequest, state: StateDependency, identity: Reader) -> SearchResults:
    """Find passages by words and by meaning, fused by reciprocal rank, best first.

    The words accept quotes for phrases and a minus sign for exclusions.
    """
    found = await state.searcher.search(body.query, identity=identity, limit=body.limit)
    return SearchResults(results=[SearchResult.model_validate(passage) for passage in found])


@router.post("/query", responses=describe(401, 403, 422, 502, 503))
async def query(body: QueryRequest, state: StateDependency, identity: Reader) -> QueryAnswer:
    """Answer a question from the documents, with numbered citations.

    Without a language model the answer is made of the passages' own sentences. When nothing
    relevant is found the answer says so and cites nothing.
    """
    answer = await state.answerer.answer(body.question, identity=identity, limit=body.limit)
    citations = [
        CitationOut(
            number=citation.number,
            document_id=citation.passage.document_id,
            filename=citation.passage.filename,
            page=citation.passage.page,
            heading=citation.passage.heading,
            passage=citation.passage.text,
            score=citation.passage.score,
        )
        for citation in answer.citations
    ]
    return QueryAnswer(answer=answer.answer, mode=answer.mode, citations=citations)
