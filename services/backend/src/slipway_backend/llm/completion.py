"""What goes to a language model and what comes back, read defensively."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

Role = Literal["system", "user", "assistant"]


class Message(TypedDict):
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True)
class Usage:
    """Tokens as the server counted them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Part:
    """One piece of a streamed answer; text, why it ended, and usage come in any of them."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class Completion:
    """A whole answer. ``finish_reason`` is OpenAI's: ``stop``, ``length``, ``content_filter``."""

    text: str
    finish_reason: str
    usage: Usage | None


class NotUnderstood(Exception):
    """The server's answer is not what the protocol says."""


def read_completion(body: bytes) -> Completion:
    """Read the answer to a request that was not streamed; raise NotUnderstood."""
    answer = _mapping(body)
    choice = _choice(answer)
    if choice is None:
        raise NotUnderstood("no choices")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise NotUnderstood("no message")
    return Completion(_text(message), _reason(choice) or "stop", _usage(answer))


def read_part(data: str) -> Part:
    """Read the data of one server-sent event; raise NotUnderstood."""
    answer = _mapping(data.encode())
    choice = _choice(answer)
    if choice is None:
        # The last event before the end holds the usage and nothing else.
        return Part(usage=_usage(answer))
    delta = choice.get("delta")
    text = _text(delta) if isinstance(delta, dict) else ""
    return Part(text, _reason(choice), _usage(answer))


def _mapping(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise NotUnderstood("not JSON") from None
    if not isinstance(answer, dict):
        raise NotUnderstood("not an object")
    if answer.get("error"):
        raise NotUnderstood("an error in the middle of an answer")
    return answer


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = answer.get("choices")
    if not isinstance(choices, list):
        raise NotUnderstood("no choices")
    if not choices:
        return None
    if not isinstance(choices[0], dict):
        raise NotUnderstood("no choice")
    return choices[0]


def _text(message: Mapping[str, Any]) -> str:
    # Missing while a model only reasons, which servers tell in fields of their own.
    content = message.get("content")
    if content is None:
        return ""
    if not isinstance(content, str):
        raise NotUnderstood("content is no text")
    return content


def _reason(choice: Mapping[str, Any]) -> str | None:
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason else None


def _usage(answer: Mapping[str, Any]) -> Usage | None:
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(read, int) or not isinstance(written, int) or min(read, written) < 0:
        return None
    return Usage(read, written)
