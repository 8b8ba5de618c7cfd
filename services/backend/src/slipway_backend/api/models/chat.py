"""OpenAI's chat completions: what of a request is used, and what an answer holds.

Members of a request that are not named here are ignored, as OpenAI's clients send many.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from slipway_backend.answers import Answer
from slipway_backend.api.models.query import MAX_TURN_CHARACTERS, MAX_TURNS, CitationOut

Text = Annotated[str, StringConstraints(max_length=MAX_TURN_CHARACTERS)]


class TextPart(BaseModel):
    """A piece of a message; only text is understood."""

    type: Literal["text"]
    text: Text


class ChatMessage(BaseModel):
    """One message. What `system` and `developer` say counts as a wish for the answer's style."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[TextPart], Field(max_length=100)] | None = None

    def text(self) -> str:
        """The message's text, its parts joined."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content)
        return self.content or ""


class StreamOptions(BaseModel):
    """Options of a stream."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A conversation whose last message is the question."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="slipway, or slipway/ and a collection's name"
    )
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_TURNS)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, description="at most LLM_MAX_TOKENS are used")
    max_completion_tokens: int | None = Field(None, ge=1, description="the newer name of it")
    n: int | None = Field(None, description="1 and no more")
    tool_choice: Any = Field(None, description="none or auto: no tool is ever called")
    response_format: Any = Field(None, description="text and nothing else")
    logprobs: bool | None = Field(None, description="false and nothing else")
    modalities: list[str] | None = Field(None, description="text and nothing else")


class ChatUsage(BaseModel):
    """Tokens of the language model; 0 when it was not asked."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, answer: Answer) -> ChatUsage | None:
        """What the answer cost, if the language model told it."""
        usage = answer.usage
        if usage is None:
            return None
        total = usage.input_tokens + usage.output_tokens
        return cls(
            prompt_tokens=usage.input_tokens,
            completion_tokens=usage.output_tokens,
            total_tokens=total,
        )


class ChatAnswerMessage(BaseModel):
    """The answer's text and, beyond OpenAI's interface, what it rests on."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    citations: list[CitationOut]
    mode: Literal["extractive", "generated"]


class ChatChoice(BaseModel):
    """The one choice."""

    index: Literal[0] = 0
    message: ChatAnswerMessage
    logprobs: None = None
    finish_reason: str


class ChatCompletion(BaseModel):
    """An answer as OpenAI's clients know it."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="seconds since 1970")
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage | None


class ModelOut(BaseModel):
    """A model: everything one may read, one collection, or the embedding model."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since 1970")
    owned_by: str = "slipway"
    mode: Literal["extractive", "generated", "embedding"]
    status: Literal["ready", "loading", "unreachable"] = Field(
        description="of the language model; without one, and of the embedding model, always ready"
    )


class ModelList(BaseModel):
    """The models that one may use."""

    object: Literal["list"] = "list"
    data: list[ModelOut]


def new_completion_id() -> str:
    """An id such as OpenAI's clients expect."""
    return f"chatcmpl-{uuid4().hex}"
