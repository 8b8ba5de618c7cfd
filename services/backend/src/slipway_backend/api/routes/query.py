"""Asking questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response

from slipway_backend import audit
from slipway_backend.answers import Answer, Delta, Sources, Turn
from slipway_backend.api.identity import Reader, StandingDependency
from slipway_backend.api.models.query import CitationOut, QueryAnswer, QueryRequest
from slipway_backend.api.problems import as_problem, describe, problem_content
from slipway_backend.api.state import StateDependency
from slipway_backend.api.streams import MEDIA_TYPE, EventStream, event, while_connected

router = APIRouter(prefix="/v1", tags=["answers"])

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "model": QueryAnswer,
        "description": "The answer; as events `citations`, `delta`..., `done` where asked for.",
        "content": {MEDIA_TYPE: {}},
    }
}


@router.post(
    "/query",
    response_model=QueryAnswer,
    responses={**describe(401, 403, 422, 429, 502, 503, 504), **_STREAM},
)
async def query(
    body: QueryRequest,
    request: Request,
    state: StateDependency,
    identity: Reader,
    standing: StandingDependency,
) -> QueryAnswer | Response:
    """Answer a question from the documents, with numbered citations.

    Without a language model the answer is made of the passages' own sentences. When nothing
    relevant is found the answer says so and cites nothing. With `"stream": true`, or when
    `text/event-stream` is what the client accepts, the answer comes as server-sent events.
    """
    arguments: dict[str, Any] = {
        "identity": identity,
        "filters": body.filters.to_filters(),
        "limit": body.limit,
        "history": [Turn(turn.role, turn.content) for turn in body.history],
    }
    if body.stream or MEDIA_TYPE in request.headers.get("accept", ""):
        stream = standing.guard(state.answerer.stream(body.question, **arguments))
        return EventStream(_events(stream), lambda error: _failed(request, error))
    answer = await while_connected(
        request, lambda: state.answerer.answer(body.question, **arguments)
    )
    note_answer(answer)
    return QueryAnswer.of(answer)


def note_answer(answer: Answer) -> None:
    """Tell the audit log what an answer rests on."""
    collections = sorted({citation.passage.collection for citation in answer.citations})
    audit.note(collections=collections, mode=answer.mode, citations=len(answer.citations))


async def _events(
    stream: AsyncGenerator[Sources | Delta | Answer, None],
) -> AsyncGenerator[bytes, None]:
    async with aclosing(stream):
        async for told in stream:
            if isinstance(told, Delta):
                yield event({"text": told.text}, name="delta")
            elif isinstance(told, Sources):
                citations = [
                    CitationOut.of(citation).model_dump(mode="json") for citation in told.citations
                ]
                yield event({"citations": citations}, name="citations")
            else:
                note_answer(told)
                yield event(QueryAnswer.of(told).model_dump(mode="json"), name="done")


def _failed(request: Request, error: Exception) -> bytes:
    return event(problem_content(request, as_problem(error)), name="error")
