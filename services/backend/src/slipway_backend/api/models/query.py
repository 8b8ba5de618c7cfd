"""Questions and their answers."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.answers import Answer, Citation
from slipway_backend.api.models.common import Question
from slipway_backend.api.models.filters import FiltersIn

MAX_TURNS = 200
MAX_TURN_CHARACTERS = 32_000


class TurnIn(BaseModel):
    """One message of the conversation before the question."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["user", "assistant"]
    content: Annotated[str, StringConstraints(max_length=MAX_TURN_CHARACTERS)]


class QueryRequest(BaseModel):
    """A question."""

    model_config = ConfigDict(extra="forbid")

    question: Question
    limit: int = Field(5, ge=1, le=20, description="passages to answer from")
    filters: FiltersIn = Field(default_factory=FiltersIn)
    history: list[TurnIn] = Field(
        default_factory=list,
        max_length=MAX_TURNS,
        description="earlier messages, oldest first; of too many the newest are used",
    )
    stream: bool = Field(False, description="answer as server-sent events")


class CitationOut(BaseModel):
    """A passage that the answer rests on; `[number]` in the answer refers to it."""

    number: int
    document_id: UUID
    filename: str
    collection: str
    source: str | None = Field(description="the document's name in its collection")
    version: int | None = Field(description="of the document, that the passage is from")
    page: int | None
    heading: str
    passage: str
    score: float

    @classmethod
    def of(cls, citation: Citation) -> CitationOut:
        """The citation as it goes over the wire."""
        passage = citation.passage
        return cls(
            number=citation.number,
            document_id=passage.document_id,
            filename=passage.filename,
            collection=passage.collection,
            source=passage.source,
            version=passage.version,
            page=passage.page,
            heading=passage.heading,
            passage=passage.text,
            score=passage.score,
        )


class UsageOut(BaseModel):
    """What the answer cost, in tokens of the language model; 0 when it was not asked."""

    input_tokens: int
    output_tokens: int


class QueryAnswer(BaseModel):
    """An answer with its citations; without citations nothing relevant was found."""

    answer: str
    mode: Literal["extractive", "generated"] = Field(
        description="extractive: sentences of the passages; generated: by the language model"
    )
    citations: list[CitationOut]
    finish_reason: str = Field(
        description="stop; length: the answer was cut at LLM_MAX_TOKENS; content_filter"
    )
    usage: UsageOut | None = Field(description="null when the language model does not tell")

    @classmethod
    def of(cls, answer: Answer) -> QueryAnswer:
        """The answer as it goes over the wire."""
        usage = answer.usage
        return cls(
            answer=answer.answer,
            mode=answer.mode,
            citations=[CitationOut.of(citation) for citation in answer.citations],
            finish_reason=answer.finish_reason,
            usage=(
                UsageOut(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)
                if usage
                else None
            ),
        )
