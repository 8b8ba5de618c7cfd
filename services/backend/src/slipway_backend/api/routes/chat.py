"""OpenAI's chat completions over the documents."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response

from slipway_backend.answers import Answer, Delta, Sources, Turn
from slipway_backend.api.identity import Reader, StandingDependency
from slipway_backend.api.models.chat import (
    ChatAnswerMessage,
    ChatChoice,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    ChatUsage,
    new_completion_id,
)
from slipway_backend.api.models.query import CitationOut
from slipway_backend.api.problems import as_problem, describe, problem_content
from slipway_backend.api.routes.models import filters_of
from slipway_backend.api.routes.query import note_answer
from slipway_backend.api.state import StateDependency
from slipway_backend.api.streams import EventStream, event, while_connected
from slipway_backend.errors import Problem

router = APIRouter(prefix="/v1/chat", tags=["openai"])

MAX_QUESTION_CHARACTERS = 4000
DONE = b"data: [DONE]\n\n"


@router.post(
    "/completions",
    response_model=ChatCompletion,
    responses=describe(400, 401, 403, 404, 422, 429, 502, 503, 504),
)
async def complete_chat(
    body: ChatRequest,
    request: Request,
    state: StateDependency,
    identity: Reader,
    standing: StandingDependency,
) -> ChatCompletion | Response:
    """Answer the last message from the documents, as OpenAI's clients expect it.

    The message of the answer, and the last chunk of a stream, hold `citations` as well.
    """
    _refuse_unsupported(body)
    question, history, style = _conversation(body.messages)
    arguments: dict[str, Any] = {
        "identity": identity,
        "filters": await filters_of(body.model, state, identity),
        "history": history,
        "style": style,
        "max_tokens": body.max_completion_tokens or body.max_tokens,
    }
    if body.stream:
        with_usage = body.stream_options is not None and body.stream_options.include_usage
        stream = standing.guard(state.answerer.stream(question, **arguments))
        chunks = _chunks(stream, body.model, with_usage=with_usage)
        return EventStream(chunks, lambda error: _failed(request, error))
    answer = await while_connected(request, lambda: state.answerer.answer(question, **arguments))
    note_answer(answer)
    return _completion(answer, body.model)


def _refuse_unsupported(body: ChatRequest) -> None:
    """Refuse what would change the answer's shape; what only tunes a model is ignored."""
    unsupported = {
        "n": body.n not in (None, 1),
        "tool_choice": body.tool_choice not in (None, "none", "auto"),
        "response_format": body.response_format not in (None, {"type": "text"}),
        "logprobs": bool(body.logprobs),
        "modalities": body.modalities not in (None, ["text"]),
    }
    for name, asked in unsupported.items():
        if asked:
            raise Problem(
                400,
                "Not supported",
                f"{name} cannot be {getattr(body, name)!r:.100} here: leave it out.",
                extensions={"cause": "unsupported_value", "param": name},
            )


def _conversation(messages: list[ChatMessage]) -> tuple[str, list[Turn], str]:
    """The question, the turns before it, and what the client wishes for the style."""
    last = messages[-1]
    question = last.text().strip()
    if last.role != "user" or not question or len(question) > MAX_QUESTION_CHARACTERS:
        raise Problem(
            422,
            "No question",
            "The last message has to be the user's question, of 1 to "
            f"{MAX_QUESTION_CHARACTERS} characters.",
            extensions={"cause": "invalid_question", "param": "messages"},
        )
    history: list[Turn] = []
    wishes: list[str] = []
    for message in messages[:-1]:
        if message.role == "user" or message.role == "assistant":  # noqa: PLR1714 - narrows it
            history.append(Turn(message.role, message.text()))
        else:
            wishes.append(message.text())
    return question, [turn for turn in history if turn.content.strip()], "\n".join(wishes)


def _completion(answer: Answer, model: str) -> ChatCompletion:
    message = ChatAnswerMessage(
        content=answer.answer,
        citations=[CitationOut.of(citation) for citation in answer.citations],
        mode=answer.mode,
    )
    return ChatCompletion(
        id=new_completion_id(),
        created=int(time.time()),
        model=model,
        choices=[ChatChoice(message=message, finish_reason=answer.finish_reason)],
        usage=ChatUsage.of(answer),
    )


async def _chunks(
    stream: AsyncGenerator[Sources | Delta | Answer, None], model: str, *, with_usage: bool
) -> AsyncGenerator[bytes, None]:
    head: dict[str, Any] = {
        "id": new_completion_id(),
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
    }
    # With usage asked for, OpenAI has the member in every chunk.
    usage: dict[str, Any] = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return event({**head, "choices": [choice], **usage})

    async with aclosing(stream):
        async for told in stream:
            if isinstance(told, Sources):
                yield chunk({"role": "assistant", "content": ""})
            elif isinstance(told, Delta):
                yield chunk({"content": told.text})
            else:
                note_answer(told)
                citations = [
                    CitationOut.of(citation).model_dump(mode="json") for citation in told.citations
                ]
                yield chunk({"citations": citations, "mode": told.mode}, told.finish_reason)
                if with_usage:
                    spent = ChatUsage.of(told)
                    yield event(
                        {**head, "choices": [], "usage": spent.model_dump() if spent else None}
                    )
    yield DONE


def _failed(request: Request, error: Exception) -> bytes:
    return event(problem_content(request, as_problem(error)))
